#!/usr/bin/env bash
# Does a run over these nodes have what it needs? Prints what bin/doctor sees on every rank, and what to fix.
#
#     sbatch slurm/doctor.sh
#     sbatch --nodes=8 --ntasks-per-node=4 --gpus-per-node=4 slurm/doctor.sh
#SBATCH --job-name=albert-doctor
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=2
#SBATCH --time=00:15:00
#SBATCH --output=%x-%j.log
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?submit with sbatch}" # sbatch is called in the repository
# shellcheck source=slurm/cluster.env
source "${CLUSTER_ENV:-slurm/cluster.env}"

output_dir=$OUTPUT_ROOT/doctor-$SLURM_JOB_ID
MAX_CRASHES=0 exec slurm/launch.sh "$output_dir" bin/doctor --output_dir="$output_dir" "$@"
