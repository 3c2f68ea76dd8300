#!/usr/bin/env bash
# Submits a training job to SLURM: one task per process, requeued by itself when it is pre-empted or runs out of time.
#
#   bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG PROCESSES [arguments of tools/train.py]
#   bash tools/slurm_train.sh PARTITION JOB_NAME tools/transfer.py PROCESSES CHECKPOINT RECIPE --data ROOT
#
# Environment: GPUS_PER_NODE (default: PROCESSES, at most 8; 0 on machines without GPUs), CPUS_PER_TASK (5),
# GRACE_SECONDS (120: how long before the end of the time limit the checkpoint is written), SBATCH_ARGS (more options,
# for example "--time=24:00:00 --account=me").
set -euo pipefail

if [ $# -lt 4 ]; then
    echo "usage: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG|SCRIPT PROCESSES [arguments]" >&2
    exit 2
fi
. "$(dirname "${BASH_SOURCE[0]}")/launching.sh"
partition=$1
name=$2
processes=$4
gpus=${GPUS_PER_NODE:-$((processes < 8 ? processes : 8))}
per_node=$((gpus > 0 && gpus < processes ? gpus : processes))
# A config is named in full for the job; a script of tools/ is found from anywhere.
choose_program "$([ -e "$3" ] && realpath "$3" || echo "$3")" "${@:5}"

mkdir -p "$root/work_dirs/slurm"
options=(--partition="$partition" --job-name="$name" --ntasks="$processes" --ntasks-per-node="$per_node"
    --cpus-per-task="${CPUS_PER_TASK:-5}" --requeue --open-mode=append
    --output="$root/work_dirs/slurm/%x-%j.log" --signal="B:USR1@${GRACE_SECONDS:-120}")
[ "$gpus" -gt 0 ] && options+=(--gpus-per-node="$gpus")
# shellcheck disable=SC2206  # several options in one variable are meant to be split
options+=(${SBATCH_ARGS:-})

command=$(printf '%q ' "$python" "${program[@]}")
sbatch "${options[@]}" <<SCRIPT
#!/usr/bin/env bash
# The signal reaches this shell; the tasks write their checkpoint and leave with 75, then the job goes back in the queue.
srun --kill-on-bad-exit=1 --cpu-bind=none $command &
step=\$!
asked=0
ask() { asked=1; scancel --signal=USR1 "\$SLURM_JOB_ID.0" 2>/dev/null || kill -USR1 "\$step" 2>/dev/null || true; }
trap ask USR1 TERM
while true; do
    wait "\$step" && code=0 || code=\$?
    kill -0 "\$step" 2>/dev/null || break
done
if [ "\$code" = 75 ] || { [ "\$asked" = 1 ] && [ "\$code" != 0 ]; }; then
    echo "pre-empted: back in the queue"
    scontrol requeue "\$SLURM_JOB_ID"
fi
exit "\$code"
SCRIPT
