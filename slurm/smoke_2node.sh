#!/usr/bin/env bash
# Does training over two nodes work here? A tiny model on the shipped sample, 20 updates, one rank per node.
#
#     sbatch slurm/smoke_2node.sh
#     sbatch --gpus-per-node=1 slurm/smoke_2node.sh
#SBATCH --job-name=albert-smoke
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=2
#SBATCH --time=00:15:00
#SBATCH --signal=B:USR1@60
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?submit with sbatch}" # sbatch is called in the repository
# shellcheck source=slurm/cluster.env
source "${CLUSTER_ENV:-slurm/cluster.env}"

output_dir=$OUTPUT_ROOT/smoke-$SLURM_JOB_ID
exec slurm/launch.sh "$output_dir" bin/pretrain --output_dir="$output_dir" --flagfile=slurm/smoke.flags "$@"
