#!/usr/bin/env bash
# Trains with several processes on this machine (and, with NNODES, on several machines). On machines without a GPU the
# processes exchange gradients over gloo.
#
#   bash tools/dist_train.sh CONFIG PROCESSES [arguments of tools/train.py]
#   bash tools/dist_train.sh tools/transfer.py PROCESSES CHECKPOINT RECIPE --data ROOT [its other arguments]
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 bash tools/dist_train.sh CONFIG 8      # the same on node 1 with NODE_RANK=1
#
# A process that dies is restarted with the others from the newest checkpoint (MAX_RESTARTS times, 3 by default). Running
# the command again continues the run in its work_dir. Exit code 75 = pre-empted with a checkpoint written: run it again;
# 130 = Ctrl-C, with a checkpoint written as well.
# tools/launching.sh tells what a script of tools/ must know to be launched.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: bash tools/dist_train.sh CONFIG|SCRIPT PROCESSES [arguments of tools/train.py or of SCRIPT]" >&2
    exit 2
fi
case $2 in
gpu | cpu | auto) ;; # torchrun counts them
*[!0-9]* | "" | 0) echo "PROCESSES=$2: a number of processes comes second, then the arguments" >&2; exit 2 ;;
esac
. "$(dirname "${BASH_SOURCE[0]}")/launching.sh"
processes=$2
case $processes${NNODES:-1} in *[!0-9]*) ;; *) planned=$((processes * ${NNODES:-1})) ;; esac
choose_program "$1" "${@:3}"

# Restarts: the c10d rendezvous and a store that is not shared with the agent. With torch 2.14's static rendezvous
# (--master-addr), or with the shared store, a restarted process finds the addresses of the dead ones and fails.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export MKL_NUM_THREADS=${MKL_NUM_THREADS:-$OMP_NUM_THREADS}

nodes=${NNODES:-1}
address=${MASTER_ADDR:-127.0.0.1}
if [ -n "${PORT:-}" ]; then
    port=$PORT
    case $port in *[!0-9]*) echo "PORT=$port: a number is wanted, such as 29500" >&2; exit 2 ;; esac
elif [ "$nodes" != 1 ]; then
    port=29500
else
    port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
fi
# The first node opens the port. A connection that succeeds shows that somebody else has it; bash needs no Python here.
if [ "${NODE_RANK:-0}" = 0 ] && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    echo "PORT=$port: taken on this machine by another program; choose another, on all machines alike" >&2
    exit 2
fi

# All nodes must name the run alike; on one node each launch is a run of its own.
run=pixelpretext
[ "$nodes" = 1 ] && run=pixelpretext-$$-$(date +%s)
rendezvous=(--rdzv-backend c10d --rdzv-endpoint "$address:$port" --rdzv-id "${RUN_ID:-$run}")
if [ "$nodes" = 1 ]; then
    rendezvous+=(--local-addr 127.0.0.1) # the machine's own name need not resolve
else
    rendezvous+=(--rdzv-conf "is_host=$([ "${NODE_RANK:-0}" = 0 ] && echo 1 || echo 0)")
fi

preempted=0 interrupted=0
"$python" -m torch.distributed.run --nnodes "$nodes" --nproc-per-node "$processes" \
    "${rendezvous[@]}" --max-restarts "${MAX_RESTARTS:-3}" \
    --signals-to-handle SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1,SIGUSR2 --shutdown-timeout "${GRACE_SECONDS:-110}" \
    "${program[@]}" &
child=$!
trap 'preempted=1; kill -TERM "$child" 2>/dev/null || true' TERM USR1 USR2
trap 'interrupted=1; kill -INT "$child" 2>/dev/null || true' INT

# A trapped signal ends `wait` before the child has ended.
code=0
while true; do
    wait "$child" && code=0 || code=$?
    kill -0 "$child" 2>/dev/null || break
done
if [ "$preempted" = 1 ] && [ "$code" != 0 ]; then
    echo "pre-empted: run the same command again to continue (exit code 75)"
    exit 75
fi
[ "$interrupted" = 0 ] || [ "$code" = 0 ] || exit 130
exit "$code"
