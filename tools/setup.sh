#!/usr/bin/env bash
# Installs one layer into .venv and stops.
#
#   bash tools/setup.sh                  core: pretraining, feature upsampling, frozen evaluation; no compiler
#   bash tools/setup.sh transfer         and fine-tuning on ADE20K and COCO: mmsegmentation, mmdet, and mmcv, which is
#                                        compiled once (minutes) and then kept in a wheel cache
#   bash tools/setup.sh test             and what the test suite needs
#
# The head of tools/environment.sh lists the environment variables; docs/running.md tells more.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

layer=${1:-core}
case $layer in
  core | transfer | test) ;;
  *) fail "LAYER=$layer is unknown: bash tools/setup.sh [core|transfer|test]" ;;
esac
[ $# -le 1 ] || fail "One layer at a time, each holds those before it: bash tools/setup.sh [core|transfer|test]"
prepare_environment "$layer"
[ -z "$mmcv_missing" ] || fail "The $layer layer lacks mmcv, everything else of it is ready: $venv_python"
echo "The $layer layer is ready: $venv_python"
