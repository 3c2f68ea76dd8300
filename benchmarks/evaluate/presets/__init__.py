"""Presets: complete published protocols, one file each in ``configs/presets``.

:mod:`load` reads a file into a :class:`~preset.Preset` and refuses one that leaves a setting to a
default; :mod:`task` makes it a task of the suite, with the changes that a user asks for;
:mod:`refusals` is what must fit before anything is measured; :mod:`compare` holds what was measured
against the published rows; :mod:`explain` prints it all. docs/presets.md shows how to add one.
"""
