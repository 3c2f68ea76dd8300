"""What the server of fresh test processes imports before it forks any; see ``conftest``."""

import pretrain.model  # noqa: F401
from benchmarks.mm import libraries

if not libraries.missing():
    libraries.require()
