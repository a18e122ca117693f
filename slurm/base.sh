#!/usr/bin/env bash
# ALBERT base on the three GPUs of one node. The same command again resumes; flags may be added.
#
#     sbatch slurm/base.sh
#     sbatch --nodes=2 --ntasks-per-node=4 --gpus-per-node=4 slurm/base.sh --learning_rate=1e-3
#     SMOKE=1 sbatch slurm/base.sh          a tiny model on the shipped sample, some minutes
#
# Batch: 960 rows an update on any number of ranks that divides it: 3 ranks x 320, cut into as few
# micro-batches as memory allows. Optimizer, learning rate and passes: the defaults of bin/pretrain.
#SBATCH --job-name=albert-base
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=3
#SBATCH --gpus-per-node=3
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?submit with sbatch}" # sbatch is called in the repository
# shellcheck source=slurm/cluster.env
source "${CLUSTER_ENV:-slurm/cluster.env}"

output_dir=$OUTPUT_ROOT/base
flags=(
  --input_file="$DATA_DIR/train.tfrecord*"
  --bert_config_file=albert_config/albert_config_base.json
  --max_seq_length=512
  --max_predictions_per_seq=51
  --train_batch_size=960
  --num_train_steps=200000
  --precision=auto
)
[ "${SMOKE:-0}" = 0 ] || flags=(--flagfile=slurm/smoke.flags)
exec slurm/launch.sh "$output_dir" bin/pretrain --output_dir="$output_dir" "${flags[@]}" "$@"
