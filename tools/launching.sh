# Sourced by dist_train.sh and slurm_train.sh, never run. Sets root (the folder above the scripts) and
# python (PYTHON, else .venv's). In a checkout tools/*.py are run; where these shell scripts are alone,
# the commands of the installed package are.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
python=${PYTHON:-}
if [ -z "$python" ]; then
    python=$([ -x "$root/.venv/bin/python" ] && echo "$root/.venv/bin/python" || echo python3)
fi

# Sets command to the words behind the interpreter that run tools/$1.py.
choose_command() {
    command=("$root/tools/$1.py")
    [ -f "$root/tools/_checkout.py" ] || command=(-m benchmarks.commands "${1//_/-}")
}

# planned, where it is set, is the number of processes that will be started.
# choose_program WHAT ARGUMENTS… sets program, the words behind the interpreter, and runs them once with --check in this
# process alone: a mistake would otherwise be met by every process at every restart, which runs the very same command.
#   WHAT a config          tools/train.py, with --resume auto unless ARGUMENTS say how to resume
#   WHAT a script of tools/   that script with ARGUMENTS as they are; it must know --check, find out by itself who
#                          launched it (benchmarks and pretraining do: open_group), and go on by itself where it was cut off
choose_program() {
    local what=$1 script name
    shift
    script=$what
    case $what in tools/*.py) [ -e "$what" ] || script=$root/$what ;; esac
    script=$(realpath -- "$script" 2>/dev/null || echo "$script")
    name=$(basename "$script" .py)
    case $script in
    "$root"/tools/*.py)
        choose_command "$name"
        [ "${command[0]}" = -m ] || [ -f "$script" ] || { echo "$what: there is no such script" >&2; exit 2; }
        program=("${command[@]}" "$@")
        # A batch that cannot be shared by all of them is found by one process only if it knows how many there will be.
        env -u RANK -u WORLD_SIZE -u SLURM_STEP_NUM_TASKS PIXELPRETEXT_PROCESSES="${planned:-}" \
            "$python" "${command[@]}" --check "$@"
        ;;
    *)
        local resume=(--resume auto)
        case " $* " in *" --resume"*) resume=() ;; esac
        choose_command train
        program=("${command[@]}" "$what" "${resume[@]}" "$@")
        PIXELPRETEXT_PROCESSES="${planned:-}" \
            "$python" "${command[@]}" "$what" --check --launcher none "${resume[@]}" "$@"
        ;;
    esac
}
