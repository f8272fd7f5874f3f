"""References to docs/vima_architecture.md name sections that exist."""

import re
import subprocess

import pytest
from helpers import ROOT

DOCUMENT = ROOT / "docs" / "vima_architecture.md"
GONE = "VIMA" + "_SPEC"  # a document that this repository has never held
# The document's name, then its sections' titles in quotes, also across lines of a comment.
REFERENCE = re.compile(r'docs/vima_architecture\.md((?:,[\s#]+"[^"]+")+)')


def sections(markdown: str) -> set[str]:
    return set(re.findall(r"^## (.+)$", markdown, re.MULTILINE))


def unknown_sections(text: str, known: set[str]) -> list[str]:
    """Titles that ``text`` refers to and ``known`` lacks."""
    titles = [t for ref in REFERENCE.findall(text) for t in re.findall(r'"([^"]+)"', ref)]
    return [title for title in (re.sub(r"[\s#]+", " ", t) for t in titles) if title not in known]


@pytest.fixture(scope="module")
def texts():
    """The text of every file under version control."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    texts = {}
    for name in listed.stdout.splitlines():
        try:
            texts[name] = (ROOT / name).read_text()
        except (UnicodeDecodeError, FileNotFoundError):  # an image, weights; deleted
            continue
    return texts


def test_references_name_sections_that_exist(texts):
    known = sections(DOCUMENT.read_text())
    wrong = {name: unknown_sections(text, known) for name, text in texts.items()}
    assert {name: titles for name, titles in wrong.items() if titles} == {}
    cited = [name for name, text in texts.items() if REFERENCE.search(text)]
    assert len([name for name in cited if name.startswith("src/")]) > 10


def test_links_within_the_document_have_a_section():
    markdown = DOCUMENT.read_text()
    anchors = {title.lower().replace(" ", "-") for title in sections(markdown)}
    assert set(re.findall(r"\]\(#([^)]+)\)", markdown)) <= anchors


def test_nothing_refers_to_a_document_outside_the_repository(texts):
    assert [name for name, text in texts.items() if GONE in text] == []


def test_an_unknown_section_is_found():
    known = {"Object encoder"}
    text = '# docs/vima_architecture.md, "Object encoder",\n    # "Object\n    # decoder".'
    assert unknown_sections(text, known) == ["Object decoder"]
