"""Pages from templates that lie beside this file, everything in them escaped."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_ENVIRONMENT = Environment(
    loader=PackageLoader("benchmarks.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: Any) -> str:
    """Returns a page.

    Args:
        template: file of ``templates``.
        values: what it names.

    Raises:
        jinja2.UndefinedError: it names a value that is not given.
    """
    return _ENVIRONMENT.get_template(template).render(**values)
