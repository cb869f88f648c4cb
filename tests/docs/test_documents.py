"""Links lead somewhere, pictures are made by commands that the Makefile knows, and the site leaves no page out."""

import re
from pathlib import Path

import pytest
from documents import ROOT, Document, documents, recipe

import probe

DOCUMENTS = documents()
ELSEWHERE = ("http://", "https://", "mailto:")


def target(document: Document, link: str) -> tuple[Path, str]:
    """File and anchor that a link leads to."""
    path, _, anchor = link.partition("#")
    return (document.path.parent / path).resolve() if path else document.path, anchor


def test_documents_are_found():
    assert {"README.md", "CONTRIBUTING.md", "alignments/README.md", "docs/commands.md"} <= set(map(str, DOCUMENTS))
    assert any(document.path.suffix == ".ipynb" for document in DOCUMENTS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_lead_somewhere(document: Document):
    anchors = {other.path: other.anchors() for other in DOCUMENTS}
    for link in [*document.links(), *document.pictures()]:
        if link.startswith(ELSEWHERE):
            continue
        path, anchor = target(document, link)
        assert path.is_relative_to(ROOT), f"{document}: {link} leads out of the repository"
        assert path.exists(), f"{document}: {link} leads nowhere"
        assert not anchor or anchor in anchors.get(path, ()), f"{document}: {link} names no heading"


def test_anchors_are_those_of_code_hosts():
    text = "# A\n\n## `probe-x`, 50 % of *it*!\n\n## A\n\n## What is A′?"
    assert Document(ROOT / "x.md", text).anchors() == {"a", "probe-x-50--of-it", "a-1", "what-is-a"}


def test_every_page_is_in_the_navigation_of_the_site():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    pages = set(re.findall(r"[\w./-]+\.(?:md|ipynb)$", navigation, flags=re.MULTILINE))
    own = {path.name for path in (ROOT / "docs").glob("*.md")}
    notebooks = {f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert own | notebooks <= pages
    assert all((ROOT / page).is_file() for page in pages - own)


def test_the_page_of_the_api_has_every_public_name_once():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^::: probe\.(\w+)$", page, flags=re.MULTILINE)) == sorted(probe.__all__)


def made_pictures() -> set[Path]:
    """Files and directories that the commands of `make figures` and `make picture` write."""
    commands = [*recipe("figures"), *recipe("picture")]
    return {ROOT / words[words.index("--out") + 1] for words in commands if "--out" in words}


def test_every_picture_shown_is_made_by_make():
    made = made_pictures()
    shown = {
        target(document, picture)[0]
        for document in DOCUMENTS
        for picture in document.pictures()
        if not picture.startswith(("data:", "attachment:"))
    }
    assert ROOT / "figures" / "cat.png" in shown
    for picture in shown:
        assert made & {picture, *picture.parents}, f"{picture.relative_to(ROOT)}: no target writes it"
