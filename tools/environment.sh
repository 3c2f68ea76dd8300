# Sourced by the scripts beside it, never run:  . tools/environment.sh; prepare_environment core
#
# Makes .venv in the repository, installs what the layer's pins still lack and sets
#   root         the repository
#   venv_python  the interpreter to use
#   mmcv_missing 1 if the layer holds mmcv and it could not be had, which a sentence on stderr has told; else empty
# Knobs: PYTHON=/path/to/python chooses the interpreter .venv is made with; PIXELPRETEXT_NO_VENV=1 uses PYTHON
# (or python3) as it is and installs nothing, for clusters and containers that bring their own torch;
# PIXELPRETEXT_NO_BUILD=1 compiles nothing; PIXELPRETEXT_WHEELS is the folder that keeps the compiled mmcv.
#
# What is installed is read from the environment itself (0.1 s), so an environment made by hand is taken as it is. Only
# an installation that was cut off is remembered, by a file, because pip does not notice half-written packages.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# A version test that Python 2 and broken shims survive as well.
is_python_310() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1
}

find_python() {
  local candidate
  if [ -n "${PYTHON:-}" ]; then
    command -v "$PYTHON" >/dev/null 2>&1 || fail "PYTHON=$PYTHON is not a program: give the path of a Python 3.10 or newer."
    is_python_310 "$PYTHON" || fail "PYTHON=$PYTHON is older than Python 3.10 or does not start: give a newer one."
    python=$(command -v "$PYTHON")
    case $python in /*) ;; *) python=$PWD/$python ;; esac
    return
  fi
  for candidate in python3 python3.12 python3.13 python3.11 python3.10 python; do
    if is_python_310 "$candidate"; then
      python=$(command -v "$candidate")
      return
    fi
  done
  fail "No Python 3.10 or newer found: install one, or name it with PYTHON=/path/to/python3."
}

# Two scripts started at once install one after the other. The lock is on the folder, so it leaves no file behind.
lock_environment() {
  command -v flock >/dev/null 2>&1 || return 0
  exec 9<"$root"
  flock --nonblock 9 && return 0
  echo "Another script is preparing $root/.venv: waiting for it."
  flock 9 || echo "This file system has no locks: do not start two scripts at once." >&2
}

make_venv() {
  local marker=$1 wanted found
  if [ -e "$marker" ]; then
    echo "The last installation was interrupted: making .venv again."
    "$python" -m venv --clear "$root/.venv" || fail "$python cannot make $root/.venv: is its venv module installed (python3-venv)?"
  elif [ ! -x "$root/.venv/bin/python" ]; then
    echo "Making $root/.venv with $python."
    "$python" -m venv "$root/.venv" || fail "$python cannot make $root/.venv: is its venv module installed (python3-venv)?"
  elif [ -n "${PYTHON:-}" ]; then
    wanted=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    found=$("$root/.venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    [ "$wanted" = "$found" ] || fail "$root/.venv has Python $found, PYTHON=$PYTHON is $wanted: delete .venv or unset PYTHON."
  fi
  is_python_310 "$root/.venv/bin/python" || fail "$root/.venv has no working Python 3.10 or newer: delete it and start again."
}

# torch brings 5.5 GB of libraries, and pip holds the wheels beside them while it unpacks.
check_disk() {
  local free_kib
  case $1 in *torch*) ;; *) return 0 ;; esac
  free_kib=$(df -Pk "$root" | awk 'NR == 2 { print $4 }')
  [ "$free_kib" -ge $((8 * 1024 * 1024)) ] ||
    fail "Only $((free_kib / 1024 / 1024)) GB free at $root: the installation with torch needs 8 GB."
}

# mmengine's yapf keeps a grammar in the user's cache and writes it anew for every new installation. Processes that first
# import it at the same time (ranks, test workers) can read it half written; so one of them does it here.
warm_caches() {
  "$venv_python" -c "import mmengine" >/dev/null 2>&1 || true
}

install_layer() {
  local layer=$1 marker=$2 log=$root/.venv/install.log quiet=--quiet
  [ -t 1 ] && quiet=
  echo "Installing the $layer layer (torch and its libraries are 5.5 GB; about 2 minutes plus the download) …"
  : >"$marker"
  # --no-compile: bytecode of all that is installed takes a third of the time; what is imported compiles itself, once.
  # shellcheck disable=SC2086  # an empty $quiet must vanish
  if ! "$venv_python" -m pip install $quiet --no-compile --retries 2 --disable-pip-version-check --log "$log" \
    -r "$root/requirements/$layer.txt"; then
    # pip failed in good order, before or while it wrote: what it wrote is whole unless the disk is full.
    grep -q 'No space left' "$log" && fail "The disk is full: free 8 GB at $root and at ${TMPDIR:-/tmp}, then start again."
    rm -f "$marker"
    grep -qE 'NewConnectionError|NameResolutionError|name resolution|Network is unreachable|ConnectTimeout|Read timed out|ProxyError|Connection refused|Max retries exceeded|SSLError' "$log" &&
      fail "No network, or the package index does not answer: connect (or set PIP_INDEX_URL or PIP_PROXY), then start again."
    fail "pip could not install requirements/$layer.txt: its last words are above, all of them in $log."
  fi
  rm -f "$marker"
  warm_caches
}

# Seconds, once, into heads/upsamplers/compiled/; says one sentence where it cannot be, which is no obstacle.
build_operators() {
  [ -n "${PIXELPRETEXT_NO_BUILD:-}" ] || "$venv_python" "$root/tools/build_operators.py" --quiet || true
}

# mmcv for the layers that hold mmdet and mmsegmentation: compiled once, then taken from the wheel cache; 0.1 s where it
# is installed.
install_mmcv() {
  mmcv_missing=
  case $1 in transfer | test) ;; *) return 0 ;; esac
  "$venv_python" "$root/tools/build_mmcv.py" --quiet ${PIXELPRETEXT_NO_VENV:+--check} || mmcv_missing=1
}

prepare_environment() {
  local layer=$1 lacking marker=$root/.venv/.installing started=$SECONDS
  local check=$root/benchmarks/speed/doctor/requirements.py pins=$root/requirements/$layer.txt
  if [ -n "${PIXELPRETEXT_NO_VENV:-}" ]; then
    find_python
    venv_python=$python
    lacking=$("$venv_python" "$check" "$pins") ||
      printf 'PIXELPRETEXT_NO_VENV is set, so %s is used as it is, although:\n%s\n' "$venv_python" "$lacking"
    build_operators
    install_mmcv "$layer"
    return 0
  fi
  lock_environment
  # A working .venv needs no other Python; PYTHON= is looked at all the same, so that a typing error is told.
  if [ -n "${PYTHON:-}" ] || [ -e "$marker" ] || [ ! -x "$root/.venv/bin/python" ]; then find_python; fi
  make_venv "$marker"
  venv_python=$root/.venv/bin/python
  if ! lacking=$("$venv_python" "$check" "$pins"); then
    "$venv_python" -m pip --version >/dev/null 2>&1 || "$venv_python" -m ensurepip >/dev/null 2>&1 ||
      fail "$root/.venv has no pip: delete .venv and start again."
    lacking=$("$venv_python" "$check" "$pins") && lacking=
    check_disk "$lacking"
    [ -z "$lacking" ] || install_layer "$layer" "$marker"
    echo "The environment is ready after $((SECONDS - started)) s."
  fi
  build_operators
  install_mmcv "$layer"
  { exec 9<&-; } 2>/dev/null
}
