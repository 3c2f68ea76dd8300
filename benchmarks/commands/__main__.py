"""``python -m benchmarks.commands`` is ``pixelpretext``, for torchrun, srun and own processes."""

import sys

from benchmarks.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
