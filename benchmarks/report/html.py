"""What every result page is made of: its style, pictures and links, as HTML and as
Markdown.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1d1d1f; max-width: 74rem; margin: 2rem auto; padding: 0 1.2rem }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } .wide { overflow-x: auto }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap }
.text { text-align: left } tr.first td, td.best { font-weight: 600 } tr.baseline td { color: #777 }
img { max-width: 100%; border: 1px solid #e5e5e5; border-radius: 4px } figcaption, .note { color: #555; font-size:
.9rem } figure { margin: 1rem 0 } code { background: #f4f4f6; padding: 0 .25rem; border-radius: 3px } li { margin:
.15rem 0 }
"""


def html_page(title: str, command: str, body: Sequence[str]) -> str:
    """A whole page: heading, the command that makes it again, then ``body``, lines of HTML."""
    name = html.escape(title)
    head = (
        '<html lang="en"><head><meta '
        f'charset="utf-8"><title>{name}</title><style>{STYLE}</style></head><body>'
    )
    opening = f'<h1>{name}</h1><p class="note"><code>{html.escape(command)}</code></p>'
    return "\n".join(["<!doctype html>", head, opening, *body, "</body></html>"]) + "\n"


def html_figures(pictures: Sequence[tuple[str, str]]) -> list[str]:
    """Pictures (file, caption), each a link to its file."""
    return [
        f'<figure><a href="{html.escape(file)}"><img src="{html.escape(file)}" alt="{html.escape(caption)}"></a>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for file, caption in pictures
    ]


def html_files(links: Sequence[tuple[str, str]]) -> list[str]:
    """A list of links (file, words) under a heading."""
    items = [
        f'<li><a href="{html.escape(file)}">{html.escape(words)}</a></li>' for file, words in links
    ]
    return ["<h2>Files</h2><ul>", *items, "</ul>"]


def markdown_head(title: str, command: str) -> list[str]:
    """Heading and command."""
    return [f"# {title}", "", f"`{command}`", ""]


def markdown_figures(pictures: Sequence[tuple[str, str]]) -> list[str]:
    """Pictures (file, caption), the caption below each."""
    return [
        line
        for file, caption in pictures
        for line in (f"![{caption}]({file})", "", f"*{caption}*", "")
    ]


def markdown_files(links: Sequence[tuple[str, str]]) -> list[str]:
    """A list of links (file, words)."""
    return ["Files:", "", *(f"- [{words}]({file})" for file, words in links), ""]
