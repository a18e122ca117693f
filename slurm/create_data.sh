#!/usr/bin/env bash
# Pre-training records from the clean text in DATA_DIR, made by MPI ranks on CPU nodes. The same command again continues
# with what is missing; the records do not depend on the number of ranks. Flags may be added.
#
#     sbatch slurm/create_data.sh
#     sbatch --nodes=4 --ntasks-per-node=32 slurm/create_data.sh
#     SMOKE=1 sbatch slurm/create_data.sh   the shipped sample with a vocabulary learnt from it
#SBATCH --job-name=albert-data
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=16
#SBATCH --cpus-per-task=1
#SBATCH --time=12:00:00
#SBATCH --signal=B:USR1@60
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?submit with sbatch}" # sbatch is called in the repository
# shellcheck source=slurm/cluster.env
source "${CLUSTER_ENV:-slurm/cluster.env}"

flags=(
  --input_file="$DATA_DIR/clean/*.txt"
  --tokenizer="$DATA_DIR/vocabulary.model"
  --output_file="$DATA_DIR/train.tfrecord@64"
  --max_seq_length=512
  --max_predictions_per_seq=51
)
if [ "${SMOKE:-0}" != 0 ]; then
  sample='albert_hvd/sample/texts/train_*.txt' vocabulary=$OUTPUT_ROOT/sample-data/vocabulary
  bin/train_tokenizer --input_file="$sample" --model_prefix="$vocabulary" --vocab_size=1800
  flags=(--input_file="$sample" --tokenizer="$vocabulary.model" --output_file="${vocabulary%/*}/train.tfrecord@4"
    --max_seq_length=64 --max_predictions_per_seq=10)
fi
exec slurm/launch.sh "$OUTPUT_ROOT/data-jobs" bin/create_pretraining_data "${flags[@]}" "$@"
