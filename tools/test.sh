#!/usr/bin/env bash
# Installs the test layer (core, transfer and the tools of the tests), then runs the tests.
#
#   bash tools/test.sh                             style check and the whole suite, on all cores
#   bash tools/test.sh tests/benchmarks -k doctor -x   any arguments go to pytest as they are
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
prepare_environment test
[ -z "$mmcv_missing" ] || echo "Going on without mmcv: tests of transfer are skipped." >&2
cd "$root"

# One thread per process: the tests' models are tiny, and several torch thread pools on the same cores slow each other.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
if [ $# -gt 0 ]; then
  exec "$venv_python" -m pytest "$@"
fi
"$venv_python" -m ruff check .
"$venv_python" -m ruff format --check --quiet .
# Whole files go to one worker, because their fixtures (tiny trainings, process groups) are dear; in
# the order of tests/conftest.py, because xdist's own would start the dearest files last.
exec "$venv_python" -m pytest -q --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder
