#!/usr/bin/env bash
# Installs the core layer, then pretrains and compares on generated scenes: untrained, SimCLR, PixContrast, PixPro.
#
#   bash tools/quickstart.sh                       from any directory; PYTHON=/path/to/python3 chooses the interpreter
#   bash tools/quickstart.sh --jobs 1              further arguments go to tools/compare.py (see its --help)
#
# Killed half-way and run again it does only what is missing.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
prepare_environment core
cd "$root"

out=work_dirs/quickstart
started=$SECONDS
echo "Comparing on generated scenes: at most 15 minutes on two cores, less if part of it is done."
"$venv_python" tools/compare.py configs/comparisons/quickstart.py --work-dir "$out" "$@" ||
  fail "The comparison stopped: what it finished is kept in $root/$out; run the same command again to go on."

elapsed=$((SECONDS - started))
printf '\nDone in %d min %d s. In %s:\n' $((elapsed / 60)) $((elapsed % 60)) "$root/$out"
find "$out" -maxdepth 1 -mindepth 1 ! -name '.*' | LC_ALL=C sort | sed 's|.*/|  |'
cat <<'NEXT'

Next, with .venv/bin/python:
  tools/doctor.py                                             what this machine has, and what to install
  tools/compare.py configs/comparisons/scenes.py --work-dir work_dirs/scenes
                                                              six arms, three seeds, about 25 minutes on two cores
  tools/train.py CONFIG --work-dir DIR                        a recipe of configs/ on your images (docs/running.md, docs/data.md)
  tools/evaluate.py DIR/final.pth --benchmark retrieval --quick --data scenes:data/scenes_quick
                                                              dense retrieval with your checkpoint (other data: docs/data.md)
NEXT
