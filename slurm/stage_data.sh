#!/usr/bin/env bash
# Copies the records of PATTERN (a comma list of files and globs) to this node's own disk, with their manifest and
# vocabulary, into a folder of SCRATCH that is named by their fingerprint. Every rank reads its part of every shard, so
# a node needs all of them. What is there already is not copied again; copies of what PATTERN was before are removed.
#
#     slurm/stage_data.sh PATTERN SCRATCH                     copy; slurm/launch.sh runs it on each node
#     slurm/stage_data.sh --staged-pattern PATTERN SCRATCH    print the pattern of the copies
set -euo pipefail
exec python3 "$(dirname "$0")/staging.py" "$@"
