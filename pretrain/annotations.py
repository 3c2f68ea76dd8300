"""Values from configs and command lines held against type annotations."""

from __future__ import annotations

import ast
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar

from pretrain.names import suggestion

T = TypeVar("T")


def matches(value: Any, annotation: Any) -> bool:
    """Tells whether ``value`` fits a type annotation; True for annotations that configs do not
    spell.

    Lists pass for tuples and ints for floats, because that is how they come out of a config file.
    NaN fits no number: it would pass every check of a range.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(matches(value, option) for option in arguments)
    if origin is Literal:
        return value in arguments
    if annotation is None or annotation is type(None):
        return value is None
    if annotation is bool:
        return isinstance(value, bool)
    if annotation in (int, float):
        accepted = int if annotation is int else (int, float)
        return isinstance(value, accepted) and not isinstance(value, bool) and not _is_nan(value)
    if annotation is str:
        return isinstance(value, str)
    if tuple in (annotation, origin) or list in (annotation, origin):
        return isinstance(value, (list, tuple)) and _elements_match(value, arguments)
    if dict in (annotation, origin):
        return isinstance(value, Mapping)
    return True


def kind(value: Any) -> str:
    """Says in a message what a value that does not fit is: "of type str", or "not a number"."""
    return "not a number" if _is_nan(value) else f"of type {type(value).__name__}"


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def spell(annotation: Any) -> str:
    """Returns an annotation as a reader would write it."""
    if isinstance(annotation, type):
        return annotation.__name__
    return str(annotation).replace("typing.", "")


def fitted(value: Any, annotation: Any) -> Any:
    """Returns a value as its annotation has it, where the two mean the same; else the value as it
    is.

    A command line tells neither a number from a name of digits (``train=2012``) nor one value from
    a list of one (``severities=3``), and text with commas is a list (``names=a.txt,b.txt``).
    """
    if matches(value, annotation):
        return value
    options = [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        options = list(typing.get_args(annotation))
    for option in options:
        candidate = _as_annotated(value, option)
        if matches(candidate, option):
            return candidate
    return value


def fit_all(values: Mapping[str, Any], taker: Callable[..., Any], *, where: str) -> dict[str, Any]:
    """Fits values to the annotations of what takes them, see :func:`fitted`.

    Args:
        values: by name; names that ``taker`` does not annotate stay as they are.
        taker: a dataclass, another class (its ``__init__`` counts) or a function.
        where: how a message begins.

    Raises:
        ValueError: a value of a wrong type; names it, its value and the legal type.
    """
    # A dataclass's own annotations, because its __init__ knows only the names of one module.
    annotated = isinstance(taker, type) and not is_dataclass(taker)
    hints = typing.get_type_hints(taker.__init__ if annotated else taker)
    result = {}
    for name, value in values.items():
        result[name] = fitted(value, hints.get(name, Any))
        if not matches(result[name], hints.get(name, Any)):
            legal = spell(hints[name])
            raise ValueError(f"{where}{name}={value!r} is {kind(value)}; must be {legal}")
    return result


def build(cls: type[T], values: Any, *, where: str) -> T:
    """Builds a dataclass from a mapping that a person wrote.

    Args:
        cls: the dataclass.
        values: of its fields, by name, fitted as :func:`fit_all` does; those with a default may be
            left out.
        where: how a message begins, a field's name follows: ``"loader."``, ``"benchmark 'knn': "``.

    Raises:
        ValueError: no mapping; an unknown field, with the one that was probably meant; a value of a
            wrong type; a field that is missing. What ``cls`` itself raises comes through.
    """
    legal = [field.name for field in fields(cls)]
    if not isinstance(values, Mapping):
        place = where.rstrip(".: ")
        raise ValueError(f"{place}={values!r}: must be a dict of {', '.join(legal)}")
    for name in values:
        if name not in legal:
            near = suggestion(str(name), legal)
            raise ValueError(f"{where}{name} is unknown{near}; legal: {', '.join(legal)}")
    values = fit_all(values, cls, where=where)
    for field in fields(cls):
        required = field.default is MISSING and field.default_factory is MISSING
        if required and field.name not in values:
            raise ValueError(f"{where}{field.name} is missing")
    return cls(**values)


def _elements_match(values: list | tuple, arguments: tuple[Any, ...]) -> bool:
    """Whether elements fit ``tuple[X, ...]``, ``tuple[X, Y]`` or ``list[X]``, given what stands in
    the brackets.
    """
    if not arguments:
        return True
    if len(arguments) == 1 or arguments[-1] is Ellipsis:
        arguments = arguments[:1] * len(values)
    return len(values) == len(arguments) and all(map(matches, values, arguments))


def _as_annotated(value: Any, annotation: Any) -> Any:
    """The one other reading of a value that an annotation without alternatives suggests."""
    if annotation is str and type(value) in (int, float):
        return str(value)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if tuple in (annotation, origin) or list in (annotation, origin):
        if isinstance(value, str) and "," in value:
            return tuple(_literal(part.strip()) for part in value.split(","))
        if arguments[-1:] == (Ellipsis,) and not isinstance(value, (list, tuple)):
            return (value,)
    return value


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
