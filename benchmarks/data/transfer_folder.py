"""A folder in one of the layouts that mmsegmentation or mmdet read themselves."""

from __future__ import annotations

from pathlib import Path


class TransferFolder:
    """The data of a fine-tuning; which files it holds is the recipe's business.

    Args:
        root: the folder that takes the place of the recipe's ``data_root``; None = that of the recipe.

    Raises:
        FileNotFoundError: no such folder.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        if root is not None and not Path(root).is_dir():
            raise FileNotFoundError(f"no data folder {root} (docs/data.md tells how the layouts look)")
        self.root = root
