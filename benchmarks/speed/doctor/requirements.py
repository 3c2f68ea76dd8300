"""Are the pins of a requirements file met by the running Python?

Knows the standard library and pip alone, because ``tools/environment.sh`` calls it by path in an
environment that is still empty::

    python benchmarks/speed/doctor/requirements.py requirements/core.txt

prints what is not met and exits 1.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

try:
    from packaging.requirements import Requirement
except ImportError:  # an empty environment has only pip's own copy
    from pip._vendor.packaging.requirements import Requirement


def read(path: str | Path) -> list[Requirement]:
    """Returns the requirements of ``path`` that apply to this Python, included files (``-r``) first
    to last.

    Raises:
        FileNotFoundError: ``path`` or a file it includes is missing.
        ValueError: a line is neither a requirement, a comment nor ``-r FILE``.
    """
    path = Path(path)
    requirements: list[Requirement] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.split("#", 1)[0].strip()
        if text.startswith("-r "):
            requirements += read(path.parent / text[3:].strip())
        elif text:
            try:
                requirement = Requirement(text)
            except ValueError as error:
                raise ValueError(
                    f"{path}:{number}: {text!r} is neither a requirement nor '-r FILE': {error}"
                ) from None
            if requirement.marker is None or requirement.marker.evaluate():
                requirements.append(requirement)
    return requirements


def of_package(name: str) -> list[Requirement]:
    """Returns the requirements of an installed package that apply to this Python, extras left out.

    Raises:
        importlib.metadata.PackageNotFoundError: it is not installed.
    """
    requirements = map(Requirement, metadata.requires(name) or ())
    return [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]


def unmet(requirements: Iterable[Requirement]) -> list[str]:
    """Returns one sentence per requirement that this Python does not meet; empty if all are met."""
    sentences = []
    for requirement in requirements:
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            sentences.append(f"{requirement.name} is missing (wanted {requirement.specifier})")
            continue
        # A local build tag (2.14.1+cu130) is the same release.
        if not requirement.specifier.contains(version.split("+")[0], prereleases=True):
            sentences.append(f"{requirement.name} is {version} (wanted {requirement.specifier})")
    return sentences


if __name__ == "__main__":
    missing = [sentence for path in sys.argv[1:] for sentence in unmet(read(path))]
    print("\n".join(missing), end="\n" if missing else "")
    sys.exit(1 if missing else 0)
