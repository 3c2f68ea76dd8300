"""Tells what this machine and its environment have, what is missing, and what to install."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.doctor import report  # noqa: E402


def main() -> int:
    """Returns the exit code: 0, or 1 if a package of the core does not work."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python tools/doctor.py --measure\n  python tools/doctor.py --json > doctor.json",
    )
    parser.add_argument("--measure", action="store_true", help="also measure what bf16 gains (3 s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    found = report.collect(measure=arguments.measure)
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        report.show(found)
    return 1 if found["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
