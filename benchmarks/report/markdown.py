"""What every result page is made of, as Markdown: heading, pictures, links."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.report.figures import Picture


def markdown_head(title: str, command: str) -> list[str]:
    """Heading and command."""
    return [f"# {title}", "", f"`{command}`", ""]


def markdown_figures(pictures: Sequence[Picture]) -> list[str]:
    """Pictures, the caption below each."""
    lines = []
    for picture in pictures:
        caption = picture.caption
        lines += [f"![{caption}]({picture.file})", "", f"*{caption}*", ""]
    return lines


def markdown_files(links: Sequence[tuple[str, str]]) -> list[str]:
    """A list of links (file, text)."""
    return ["Files:", "", *(f"- [{text}]({file})" for file, text in links), ""]
