"""Every link of the documentation leads somewhere."""

import re
from urllib.parse import unquote

import pytest

from tests.docs.pages import PAGES, ROOT, examples, read

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.M)


def anchors(text: str) -> set[str]:
    """Of the headings of a page, as GitHub makes them."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in LINK.findall(re.sub(r"```.*?```", "", read(page), flags=re.S)):
        if re.match("[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (PAGES[page].parent / unquote(target)).resolve() if target else PAGES[page]
        assert path.exists(), f"{page}: {link}"
        assert path.is_relative_to(ROOT), f"{page}: {link}"
        if anchor:
            assert anchor in anchors(path.read_text(encoding="utf-8")), f"{page}: {link}"


def test_the_index_has_every_page() -> None:
    linked = set(LINK.findall(read("docs/README.md")))
    for page in PAGES.keys() - {"README.md", "docs/README.md"}:
        assert (page.removeprefix("docs/") if page.startswith("docs/") else f"../{page}") in linked, page


def test_the_readme_is_two_screens() -> None:
    assert len(read("README.md").splitlines()) <= 100


def test_reasons_stand_beside_commands_only() -> None:
    for page in PAGES:
        reasons = len(re.findall("^<!-- not run: ", read(page), re.M))
        assert reasons == sum(example.not_run is not None for example in examples(page)), page
