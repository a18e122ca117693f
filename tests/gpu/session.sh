#!/usr/bin/env bash
# Everything that a GPU machine is asked, in one go, each part with a time limit; for machines that are lent by the minute.
#
#   OUT=FOLDER tests/gpu/session.sh [PART...]      PARTS: machine tests variants bench; default: all but variants
#
# It takes the python3 on PATH, which must have TensorFlow, Horovod and pytest (after `source .../activate`, or in
# .venv). PEER_PYTHON: the one with PyTorch and transformers; default: the same. RECORDS: TFRecords of real text with 512
# positions and 51 predictions, or one such file compressed with xz, for the packed configurations. Each part writes into
# OUT as it goes along.
#
# Further settings, with their defaults:
#   TESTS_SEC=240 BENCH_SEC=300 CONFIG_SEC=120 TEST_ARGS="" ATTENTION=cudnn ROUNDS=5 STEPS=10
#   CONFIGS=base:512,large:512,base:128,large:128,packed:base    DEVICE=gpu (rehearsal: on the CPU)
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
OUT=${OUT:?set OUT to a folder for the results}; mkdir -p "$OUT"; OUT=$(cd "$OUT" && pwd)
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2} PYTHONUNBUFFERED=1 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
export CUDA_CACHE_MAXSIZE=4294967296 CUDA_CACHE_PATH=${CUDA_CACHE_PATH:-${TMPDIR:-/tmp}/cuda-cache} GPU_REPORT=$OUT/gpu_tests.jsonl
DEVICE=${DEVICE:-gpu}; [ "$DEVICE" = gpu ] || export GPU_TEST_DEVICE=CPU
began=$SECONDS

machine() {
  { nvidia-smi; nvidia-smi --query-gpu=name,driver_version,memory.total,memory.used,clocks.sm,power.draw --format=csv
    # The driver compiles what TensorFlow's wheel has no machine code for at first use, and keeps it for all processes.
    time python3 -c 'import tensorflow as tf
print(tf.__version__, tf.config.list_physical_devices(), tf.sysconfig.get_build_info())
x = tf.random.stateless_normal([64, 64], [1, 2]); y = tf.cast(tf.matmul(x, x) + 1.0, tf.bfloat16)
print(y.device, float(tf.reduce_sum(tf.cast(y, tf.float32))))'
  } 2>&1 | tee "$OUT/machine.txt"
}

tests() {
  timeout -s INT -k 15 "${TESTS_SEC:-240}" python3 -m pytest -q --tb=short -p no:cacheprovider tests/gpu ${TEST_ARGS:-} 2>&1 |
    tee "$OUT/gpu_tests.txt" | cut -c 1-400
}

bench() {
  local configs=${CONFIGS:-base:512,large:512,base:128,large:128,packed:base} deadline=$((SECONDS + ${BENCH_SEC:-300})) config left
  case ${RECORDS:-} in *.xz)
    local unpacked; unpacked=$(mktemp -d)/real.tfrecord
    xz -dc "$RECORDS" >"$unpacked" && RECORDS=$unpacked ;;
  esac
  for config in ${configs//,/ }; do
    local records=()
    case $config in packed*)
      [ -n "${RECORDS:-}" ] || { echo "$config: skipped, RECORDS names no records"; continue; }
      records=(--input_file="$RECORDS" --max_seq_length=512 --max_predictions_per_seq=51) ;;
    esac
    left=$((deadline - SECONDS))
    [ $left -ge 30 ] || { echo "$config: not begun, the time is up"; continue; }
    timeout -k 5 $((left + 20)) python3 bin/benchmark train --device="$DEVICE" --precision="${PRECISION:-bfloat16}" \
      --peer="${PEER:-huggingface}" --peer_kernels="${PEER_KERNELS:-default,cudnn}" \
      ${PEER_PYTHON:+--peer_python="$PEER_PYTHON"} --attention="${ATTENTION:-cudnn}" --configs="$config" \
      --rounds="${ROUNDS:-5}" --steps="${STEPS:-10}" --limit_sec=$((left < ${CONFIG_SEC:-120} ? left : ${CONFIG_SEC:-120})) \
      ${MODELS:+--bert_config_file="$MODELS"} "${records[@]}" 2>>"$OUT/bench.stderr" |
      tee -a "$OUT/bench.txt" | grep -v '^{' | cut -c 1-400
    grep '^{' "$OUT/bench.txt" >"$OUT/bench.jsonl"
  done
}

# Which settings of XLA are fastest, on one configuration.
variants() {
  timeout -k 5 "${VARIANTS_SEC:-150}" python3 bin/benchmark train --device="$DEVICE" --precision="${PRECISION:-bfloat16}" \
    --attention="${VARIANT_ATTENTION:-cudnn}" --configs="${VARIANT_CONFIG:-base:512}" --rounds=3 --steps=10 \
    --xla_flags="${VARIANTS:-|--xla_gpu_enable_cublaslt=true|--xla_gpu_enable_triton_gemm=false|--xla_gpu_enable_command_buffer=}" \
    --limit_sec="$((${VARIANTS_SEC:-150} - 10))" ${MODELS:+--bert_config_file="$MODELS"} 2>>"$OUT/variants.stderr" |
    tee -a "$OUT/variants.txt" | grep -v '^{' | cut -c 1-400
}

[ $# -gt 0 ] || set -- machine tests bench
for part in "$@"; do
  echo "== $part, $((SECONDS - began)) s after the start"
  "$part"
  echo "== $part ended, $((SECONDS - began)) s after the start"
done
