"""What the fields of a dataclass of settings are, read from where its author says it."""

from __future__ import annotations

import ast
import inspect
import io
import re
import textwrap
import tokenize
from dataclasses import fields

_LISTS = re.compile(r"^(?:Args|Attributes):\n(.*?)(?:\n\n|\n\S|\Z)", re.DOTALL | re.MULTILINE)
_ROLE = re.compile(r":\w+:`~?([\w.]+)`")
_NAMED = re.compile(r"^(\w+): (.*?)(?=^\w+: |\Z)", re.DOTALL | re.MULTILINE)


def field_notes(settings: type) -> dict[str, str]:
    """Returns field -> what it is: its comment, behind it or in the lines above it, else what the
    docstring says. Fields that have neither are left out.

    Args:
        settings: a dataclass, with its bases.
    """
    notes: dict[str, str] = {}
    for cls in reversed(settings.__mro__):
        if cls is object:
            continue
        notes |= argument_notes(cls)
        notes |= _comments(textwrap.dedent(inspect.getsource(cls)))
    return {one.name: notes[one.name] for one in fields(settings) if one.name in notes}


def argument_notes(cls: type) -> dict[str, str]:
    """Returns argument or attribute -> what the docstring of a class says of it, as plain text."""
    section = _LISTS.search(inspect.cleandoc(cls.__doc__ or ""))
    if section is None:
        return {}
    notes = {}
    for name, text in _NAMED.findall(textwrap.dedent(section[1] + "\n")):
        notes[name] = _ROLE.sub(r"\1", " ".join(text.split())).replace("``", "")
    return notes


def _comments(source: str) -> dict[str, str]:
    comments = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string.lstrip("# ")
    notes, lines = {}, source.splitlines()
    for statement in ast.parse(source).body[0].body:
        if not isinstance(statement, ast.AnnAssign):
            continue
        parts = [comments.get(statement.end_lineno, "")]
        row = statement.lineno - 1
        while row in comments and lines[row - 1].lstrip().startswith("#"):
            parts.insert(0, comments[row])
            row -= 1
        text = " ".join(filter(None, parts))
        if text:
            notes[statement.target.id] = text
    return notes
