"""What recipes name by ``type``: networks, hooks, metrics and loops. Importing the package
registers all of them.
"""

import importlib
import pkgutil

import pretrain.backbones  # noqa: F401 - registers TimmBackbone, which recipes name unprefixed

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
