"""References in code and documents lead to what they name."""

import re
import subprocess

import pytest
from helpers import ROOT

DOCUMENT = ROOT / "docs" / "vima_architecture.md"
GONE = "VIMA" + "_SPEC"  # a document that this repository has never held
# The document's name, then its sections' titles in quotes, also across lines of a comment.
REFERENCE = re.compile(r'docs/vima_architecture\.md((?:,[\s#]+"[^"]+")+)')

LINK = re.compile(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)")


def sections(markdown: str) -> set[str]:
    return set(re.findall(r"^## (.+)$", markdown, re.MULTILINE))


def anchors(markdown: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    titles = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


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


def test_relative_links_between_documents_lead_somewhere(texts):
    dead = []
    for name in [name for name in texts if name.endswith(".md")]:
        for target, anchor in LINK.findall(texts[name]):
            path = ROOT / name if not target else (ROOT / name).parent / target
            if not path.exists() or (anchor and anchor not in anchors(path.read_text())):
                dead.append(f"{name}: {target}#{anchor}")
    assert dead == []


def test_nothing_refers_to_a_document_outside_the_repository(texts):
    assert [name for name, text in texts.items() if GONE in text] == []


def test_an_unknown_section_is_found():
    known = {"Object encoder"}
    text = '# docs/vima_architecture.md, "Object encoder",\n    # "Object\n    # decoder".'
    assert unknown_sections(text, known) == ["Object decoder"]
