"""Compiles the operators of feature upsampling for this machine; see heads/upsamplers/build.py."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from heads.upsamplers.build import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
