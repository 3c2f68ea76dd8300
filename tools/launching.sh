# Sourced by dist_train.sh and slurm_train.sh, never run. Sets root (the repository) and python (PYTHON, else .venv's).

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
python=${PYTHON:-}
if [ -z "$python" ]; then
    python=$([ -x "$root/.venv/bin/python" ] && echo "$root/.venv/bin/python" || echo python3)
fi

# planned, where it is set, is the number of processes that will be started.
# choose_program WHAT ARGUMENTS… sets program, the words behind the interpreter, and runs them once with --check in this
# process alone: a mistake would otherwise be met by every process at every restart, which runs the very same command.
#   WHAT a config          tools/train.py, with --resume auto unless ARGUMENTS say how to resume
#   WHAT a script of tools/   that script with ARGUMENTS as they are; it must know --check, find out by itself who
#                          launched it (benchmarks and pretraining do: open_group), and go on by itself where it was cut off
choose_program() {
    local what=$1 script
    shift
    script=$what
    case $what in tools/*.py) [ -e "$what" ] || script=$root/$what ;; esac
    script=$(realpath -- "$script" 2>/dev/null || echo "$script")
    case $script in
    "$root"/tools/*.py)
        [ -f "$script" ] || { echo "$what: there is no such script" >&2; exit 2; }
        program=("$script" "$@")
        # A batch that cannot be shared by all of them is found by one process only if it knows how many there will be.
        env -u RANK -u WORLD_SIZE -u SLURM_STEP_NUM_TASKS PIXELPRETEXT_PROCESSES="${planned:-}" \
            "$python" "$script" --check "$@"
        ;;
    *)
        local resume=(--resume auto)
        case " $* " in *" --resume"*) resume=() ;; esac
        program=("$root/tools/train.py" "$what" "${resume[@]}" "$@")
        PIXELPRETEXT_PROCESSES="${planned:-}" "$python" "$root/tools/train.py" "$what" --check --launcher none "${resume[@]}" "$@"
        ;;
    esac
}
