"""Stands in for the C++ compiler and takes one header, which nearly every file includes, from a
precompiled copy.

    python precompiled.py HEADER COMPILER… -- ARGUMENTS…

The first compilation makes the copy with its own flags, because a precompiled header serves only
compilations with the flags it was made with; the others wait for it. Where it cannot be made
everything is compiled without, only slower. Standard library alone: each of some sixty calls starts
this file.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_ALONE = ("-c", "-MMD", "-MD")
_WITH_VALUE = ("-o", "-MF", "-MT", "-MQ")


def header_flags(arguments: Sequence[str], source: str) -> list[str]:
    """Returns what of a compilation's ``arguments`` decides on the header: all but the source and
    the outputs.
    """
    flags, skip = [], False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in _WITH_VALUE:
            skip = True
        elif argument not in _ALONE and argument != source:
            flags.append(argument)
    return flags


def precompile(compiler: Sequence[str], header: Path, flags: Sequence[str]) -> bool:
    """Makes ``HEADER.gch`` once, however many processes ask; returns whether it is there."""
    import fcntl

    copy, failed = header.with_name(f"{header.name}.gch"), header.with_name(f"{header.name}.failed")
    with open(header.with_name(f"{header.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not copy.exists() and not failed.exists():
            partial = header.with_name(f"{header.name}.part")
            done = subprocess.run(
                [*compiler, *flags, "-x", "c++-header", str(header), "-o", str(partial)]
            )
            if done.returncode == 0:
                os.replace(partial, copy)
            else:
                failed.touch()
    return copy.exists()


def command(header: Path, compiler: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """Returns the compiler's command for ``arguments``; only compilations of C++ sources use the
    header.
    """
    sources = [argument for argument in arguments if argument.endswith((".cpp", ".cc", ".cxx"))]
    if "-c" in arguments and len(sources) == 1:
        if precompile(compiler, header, header_flags(arguments, sources[0])):
            return [*compiler, "-Winvalid-pch", "-include", str(header), *arguments]
    return [*compiler, *arguments]


if __name__ == "__main__":
    split = sys.argv.index("--")
    program = command(Path(sys.argv[1]), sys.argv[2:split], sys.argv[split + 1 :])
    os.execvp(program[0], program)
