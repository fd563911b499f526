"""The pages of the documentation and what stands in their fences."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {path.relative_to(ROOT).as_posix(): path for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))}
"""By their paths from the root."""
FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>\S[^\n]*) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S
)
TABLE_ROW = re.compile(r"^\| (.+?) \|", re.M)


@dataclass(frozen=True, slots=True)
class Example:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    code: str
    not_run: str | None
    """Why a test cannot run it: the comment before it in the page's source."""


def read(page: str) -> str:
    """The text of a page."""
    return PAGES[page].read_text(encoding="utf-8")


def examples(page: str) -> list[Example]:
    """Every fenced block of a page, in order."""
    text = read(page)
    return [
        Example(page, text.count("\n", 0, match.start("code")), match["language"], match["code"], match["reason"])
        for match in FENCE.finditer(text)
    ]


def section(page: str, title: str) -> str:
    """What stands below a heading, up to the next one of its level or above."""
    text = read(page)
    match = re.search(rf"^(#+) {re.escape(title)}\n", text, re.M)
    assert match, f"{page} has no section {title!r}"
    end = re.search(rf"^#{{1,{len(match[1])}}} ", text[match.end() :], re.M)
    return text[match.end() : match.end() + end.start() if end else len(text)]


def first_cells(text: str) -> Iterator[str]:
    """The names in code font in the first column of the tables of a text."""
    for cell in TABLE_ROW.findall(text):
        yield from re.findall(r"`([^`]+)`", cell)
