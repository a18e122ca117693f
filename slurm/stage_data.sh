#!/usr/bin/env bash
# Copies the records of PATTERN (a comma list of files and globs) to this node's own disk, under SCRATCH and
# their full path. Every rank reads its part of every shard, so a node needs all of them. What is there
# already is not copied again.
#
#     slurm/stage_data.sh PATTERN SCRATCH                     copy; slurm/launch.sh runs it on each node
#     slurm/stage_data.sh --staged-pattern PATTERN SCRATCH    print the pattern of the copies
set -euo pipefail

refuse() { printf 'stage_data.sh: %s: %s\n' "$(hostname)" "$*" >&2; exit 2; }

print_staged=0
if [ "$1" = --staged-pattern ]; then print_staged=1; shift; fi
scratch=$2
IFS=, read -ra patterns <<<"$1"

staged=() files=()
declare -A described=() # what says which vocabulary made the records
for pattern in "${patterns[@]}"; do
  [[ $pattern == /* ]] || pattern=$PWD/$pattern
  staged+=("$scratch$pattern")
  mapfile -t found < <(compgen -G "$pattern" || true)
  [ ${#found[@]} -gt 0 ] || refuse "no file matches $pattern: fix --input_file, or share that folder with this node"
  for file in "${found[@]}"; do
    index=${file%/*}/.${file##*/}.index
    files+=("$file")
    [ ! -e "$index" ] || files+=("$index")
    for extra in "${file%/*}/manifest.json" "${file%/*}"/vocabulary-????????.model; do
      [ ! -e "$extra" ] || described["$extra"]=1
    done
  done
done
files+=("${!described[@]}")
if [ $print_staged = 1 ]; then (IFS=,; printf '%s\n' "${staged[*]}"); exit; fi

mkdir -p "$scratch" || refuse "$scratch cannot be made: set LOCAL_SCRATCH in slurm/cluster.env to a folder on this disk"
exec 9>"$scratch/.staging.lock"
flock 9 # another job of the same user may be copying the same files

missing=() needed=0
for file in "${files[@]}"; do
  if [ "$(stat -c '%s %Y' "$file")" != "$(stat -c '%s %Y' "$scratch$file" 2>/dev/null)" ]; then
    missing+=("$file")
    needed=$((needed + $(stat -c %s "$file")))
  fi
done
free=$(df --output=avail -B1 "$scratch" | tail -n 1)
[ "$needed" -lt "$free" ] ||
  refuse "$((needed / 1000000)) MB of records and $((free / 1000000)) MB free in $scratch: make room there, or set" \
    "LOCAL_SCRATCH in slurm/cluster.env to another folder, or to nothing"
for file in "${missing[@]}"; do
  mkdir -p "$scratch${file%/*}"
  cp --preserve=timestamps "$file" "$scratch$file.partial"
  mv "$scratch$file.partial" "$scratch$file"
done
printf 'stage_data.sh: %s: %d files copied to %s, %d were there\n' "$(hostname)" ${#missing[@]} "$scratch" \
  $((${#files[@]} - ${#missing[@]}))
