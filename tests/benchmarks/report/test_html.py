"""Parts of pages: everything that is written is escaped."""

from __future__ import annotations

from benchmarks.report.html import (
    html_figures,
    html_files,
    html_page,
    html_sentences,
    markdown_figures,
    markdown_files,
    markdown_head,
)


def test_a_page_escapes_its_title_and_command() -> None:
    page = html_page("a <b>", "run x<y && z", ["<p>body</p>"])
    assert page.startswith("<!doctype html>") and page.endswith("</body></html>\n")
    assert "<title>a &lt;b&gt;</title>" in page and "<h1>a &lt;b&gt;</h1>" in page
    assert "<code>run x&lt;y &amp;&amp; z</code>" in page and "<p>body</p>" in page


def test_sentences_have_a_style_or_none() -> None:
    assert html_sentences(["a & b", "c"]) == ["<p>a &amp; b</p>", "<p>c</p>"]
    assert html_sentences(["a"], "note") == ['<p class="note">a</p>']
    assert html_sentences([]) == []


def test_figures_are_links_to_their_files_with_captions() -> None:
    (figure,) = html_figures([('p"1.png', "a < b")])
    assert figure.count("p&quot;1.png") == 2 and 'p"1' not in figure
    assert "<figcaption>a &lt; b</figcaption>" in figure
    assert markdown_figures([("p.png", "c")]) == ["![c](p.png)", "", "*c*", ""]
    assert html_figures([]) == markdown_figures([]) == []


def test_files_are_listed_by_their_words() -> None:
    head, item, tail = html_files([("a.csv", "numbers & more")])
    assert item == '<li><a href="a.csv">numbers &amp; more</a></li>'
    assert head.endswith("<ul>") and tail == "</ul>"
    assert markdown_files([("a.csv", "numbers")]) == ["Files:", "", "- [numbers](a.csv)", ""]
    assert markdown_head("T", "cmd") == ["# T", "", "`cmd`", ""]
