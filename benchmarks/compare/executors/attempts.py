"""How often a job has failed.

The count stands in the job's folder, so it is the same whichever executor ran the job, and from
wherever the comparison is run again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pretrain.files import atomic_write, read_dict

ATTEMPTS = 3  # failures after which a trial is given up, unless the user says otherwise
FILE = "failures.json"


@dataclass(frozen=True)
class Attempts:
    """The failures of one job.

    Attributes:
        directory: of the job.
        request: fingerprint of what it is asked for; asked for something else it begins at 0.
    """

    directory: Path
    request: str = ""

    @property
    def failed(self) -> int:
        """How often it failed since it was last asked for something else, or succeeded."""
        noted = read_dict(self.directory / FILE)
        return noted["count"] if noted.get("request") == self.request else 0

    def count(self, reason: str) -> None:
        """Counts a failure and notes its reason."""
        noted = {"count": self.failed + 1, "request": self.request, "reason": reason}
        atomic_write(self.directory / FILE, json.dumps(noted))

    def forget(self) -> None:
        """Lets the job be tried again as if it had never failed."""
        (self.directory / FILE).unlink(missing_ok=True)
