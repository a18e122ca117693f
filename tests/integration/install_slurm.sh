#!/usr/bin/env bash
# Installs Debian's Slurm for virtual_cluster.py, whose tests are skipped without it. Needs root.
set -euo pipefail
missing=
for program in slurmctld slurmd sbatch munged ip shellcheck; do
  command -v "$program" >/dev/null || missing+=" $program" # of several names, command -v is content with one
done
[ -n "$missing" ] || exit 0
apt-get update -qq
# libpmix2 is for srun --mpi=pmix.
DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends \
  slurmctld slurmd slurm-client munge iproute2 libpmix2 shellcheck
slurmctld -V
