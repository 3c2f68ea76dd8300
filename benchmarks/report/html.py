"""What every result page is made of: its style, pictures and links, as HTML and as
Markdown.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1d1d1f; max-width: 74rem; margin: 2rem auto;
  padding: 0 1.2rem }
h1 { font-size: 1.5rem; margin-bottom: .2rem }
h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
.wide { overflow-x: auto }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; text-align: right;
  white-space: nowrap }
.text { text-align: left }
tr.first td, td.best { font-weight: 600 }
tr.baseline td { color: #777 }
img { max-width: 100%; border: 1px solid #e5e5e5; border-radius: 4px }
figcaption, .note { color: #555; font-size: .9rem }
figure { margin: 1rem 0 }
code { background: #f4f4f6; padding: 0 .25rem; border-radius: 3px }
li { margin: .15rem 0 }
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


def html_sentences(sentences: Sequence[str], style: str = "") -> list[str]:
    """A paragraph per sentence, of that class of the style."""
    opening = f'<p class="{style}">' if style else "<p>"
    return [f"{opening}{html.escape(sentence)}</p>" for sentence in sentences]


def html_figures(pictures: Sequence[tuple[str, str]]) -> list[str]:
    """Pictures (file, caption), each a link to its file."""
    figures = []
    for file, caption in pictures:
        place, text = html.escape(file), html.escape(caption)
        figures.append(
            f'<figure><a href="{place}"><img src="{place}" alt="{text}"></a>'
            f"<figcaption>{text}</figcaption></figure>"
        )
    return figures


def html_files(links: Sequence[tuple[str, str]]) -> list[str]:
    """A list of links (file, text) under a heading."""
    lines = ["<h2>Files</h2><ul>"]
    for file, text in links:
        lines.append(f'<li><a href="{html.escape(file)}">{html.escape(text)}</a></li>')
    return [*lines, "</ul>"]


def markdown_head(title: str, command: str) -> list[str]:
    """Heading and command."""
    return [f"# {title}", "", f"`{command}`", ""]


def markdown_figures(pictures: Sequence[tuple[str, str]]) -> list[str]:
    """Pictures (file, caption), the caption below each."""
    lines = []
    for file, caption in pictures:
        lines += [f"![{caption}]({file})", "", f"*{caption}*", ""]
    return lines


def markdown_files(links: Sequence[tuple[str, str]]) -> list[str]:
    """A list of links (file, text)."""
    return ["Files:", "", *(f"- [{text}]({file})" for file, text in links), ""]
