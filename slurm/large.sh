#!/usr/bin/env bash
# ALBERT large on many nodes. The same command again resumes, also on another number of nodes; flags may be added.
#
#     sbatch slurm/large.sh
#     sbatch --nodes=8 slurm/large.sh
#     sbatch --nodes=3 slurm/large.sh       another number than before: it continues from the same checkpoint
#     SMOKE=1 sbatch slurm/large.sh         a tiny model on the shipped sample, some minutes
#
# Batch: 3840 rows an update on any number of ranks that divides it: 2 nodes x 4 ranks x 480, 8 nodes x 4 ranks x 120,
# cut into as few micro-batches as memory allows. Optimizer, learning rate and passes: the defaults of bin/pretrain.
#SBATCH --job-name=albert-large
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
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

output_dir=$OUTPUT_ROOT/large
flags=(
  --input_file="$DATA_DIR/train.tfrecord*"
  --bert_config_file=albert_config/albert_config_large.json
  --max_seq_length=512
  --max_predictions_per_seq=51
  --train_batch_size=3840
  --num_train_steps=125000
  --precision=auto
)
[ "${SMOKE:-0}" = 0 ] || flags=(--flagfile=slurm/smoke.flags)
exec slurm/launch.sh "$output_dir" bin/pretrain --output_dir="$output_dir" "${flags[@]}" "$@"
