"""Compiles mmcv once, keeps its wheel and installs it; see benchmarks/mm/mmcv_wheel.py."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.mm.mmcv_wheel import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
