#!/usr/bin/env bash
# One rank: its output goes to the job's log and, by itself, to LOGS/rank-N.log.
#     slurm/rank.sh LOGS COMMAND [ARGUMENT...]
set -euo pipefail
logs=$1
rank=${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-${PMI_RANK:-${SLURM_PROCID:-0}}}}
shift
# Launchers signal the whole process group; tee must outlive the signal that the command answers.
exec "$@" > >(trap '' INT USR1 TERM; exec tee -a "$logs/rank-$rank.log") 2>&1
