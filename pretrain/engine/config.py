"""Configs that can be written out and read back whatever their keys are."""

from __future__ import annotations

import ast
from pprint import pformat

from mmengine.config import Config


class PretrainConfig(Config):
    """mmengine's Config, printed as one assignment per section.

    mmengine prints dicts as ``dict(key=...)``, which is no Python where a key is a keyword, such as
    the view group ``global``; printing, and with it TensorBoard and every checkpoint, would fail.
    """

    @property
    def pretty_text(self) -> str:
        """The config as Python source that ``Config.fromfile`` reads."""
        return "".join(
            f"{key} = {pformat(value, width=110, sort_dicts=False)}\n"
            for key, value in self.to_dict().items()
        )


def parse(text: str) -> Config:
    """Returns the config that :attr:`PretrainConfig.pretty_text` printed. Reads values only, runs
    no code.

    Raises:
        ValueError: anything but assignments of plain values.
    """
    try:
        statements = ast.parse(text).body
    except SyntaxError as error:
        raise ValueError(f"not a config that this engine wrote: {error}") from error
    values = {}
    for statement in statements:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            raise ValueError(
                f"not a config that this engine wrote: line {statement.lineno} is not an "
                "assignment to a name"
            )
        values[statement.targets[0].id] = ast.literal_eval(statement.value)
    return Config(values)
