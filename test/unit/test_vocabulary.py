"""The field's words in src, launch and tools; the former private language stays out."""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path
    for folder in ("src/vima_ros", "launch", "tools")
    for path in (ROOT / folder).rglob("*.py")
)
# No sentence that a tooltip shows begins with these.
CLAUSE_OPENINGS = {"what", "who", "whether", "of", "as"}
# A description names a thing: it begins neither with these nor with a lower-case word.
NO_NOUN = {
    *(
        "a",
        "an",
        "as",
        "at",
        "between",
        "by",
        "for",
        "from",
        "given",
        "how",
        "if",
        "in",
        "instead",
    ),
    *("no", "of", "on", "only", "to", "until", "what", "when", "where", "whether", "which"),
    *("who", "with", "without", "ask", "click", "do", "draw", "follow", "give", "keep", "let"),
    *("make", "play", "print", "run", "save", "say", "send", "show", "skip", "take", "tell"),
    *("wait", "write"),
}
NUMBERS_WITHOUT_UNIT = re.compile(
    r"\b(factor|fraction|probability|score|scores|confidence|ratio|number|IoU|share|rpy|quaternion|rate)\b"
    r"|to 1\b|per second"
)
BANNED = re.compile(
    r"\b(told|tells|doubtful|unseen|seldom|spoil\w*|spoilt|eyes|namesakes?|by heart)\b"
    r"|(?<!swap-)\bpictures?\b"
    r"|(?<!\.)\bjudged\b(?!``|\x22|=| (true|false))",
    re.IGNORECASE,
)


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in FILES:
        yield path.relative_to(ROOT), ast.parse(path.read_text())


def docstring_faults(tree: ast.Module) -> list[str]:
    """First lines that begin with a clause."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = (ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, kinds))
    return [t.splitlines()[0] for t in texts if t and first_word(t) in CLAUSE_OPENINGS]


def first_word(text: str) -> str:
    found = re.match(r"[\W_]*([A-Za-z_]+)", text)
    return found[1].lower() if found else ""


def descriptions(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Of parameters, launch arguments and options; and whether it is of a number."""
    for node in ast.walk(tree):
        is_field = isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Call)
        if is_field and called(node.value) == "parameter":
            yield (
                text_of(node.value.args[0]),
                ast.unparse(node.annotation) in ("float", "list[float]"),
            )
        if isinstance(node, ast.Call):
            words = {k.arg: k.value for k in node.keywords}
            if called(node) in ("add_argument", "add_parser") and "help" in words:
                yield text_of(words["help"]), ast.unparse(words.get("type", node)) == "float"
            if called(node) == "DeclareLaunchArgument":
                yield text_of(words["description"]) if "description" in words else "", False


def called(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def text_of(node: ast.expr) -> str:
    """Of a text, with "…" for what is known only when it runs."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(v.value if isinstance(v, ast.Constant) else "…" for v in node.values)
    return "…"


def description_fault(text: str, is_number: bool) -> str:
    """What keeps a description from being a noun phrase with its unit; empty: nothing."""
    word = text.split(" ")[0]
    is_name = "_" in word or word.startswith("…")  # such as camera_info
    if not (is_name or text[:1].isupper() or text[:1].isdigit()):
        return f"begins in lower case: {text!r}"
    if first_word(text) in NO_NOUN:
        return f"begins with no noun: {text!r}"
    if is_number and "[" not in text and not NUMBERS_WITHOUT_UNIT.search(text):
        return f"without unit: {text!r}"
    return ""


def words(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each identifier, as words, and of each string and comment."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and token.string != "judged":  # a field of ArmState
            split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", token.string)
            yield token.start[0], split.replace("_", " ")
        elif token.type in (tokenize.STRING, tokenize.COMMENT):
            yield token.start[0], token.string.replace("_", " ")


def banned(source: str) -> list[str]:
    return [f"line {n}: {found[0]}" for n, t in words(source) if (found := BANNED.search(t))]


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_docstrings_begin_with_a_noun_or_an_imperative(path):
    assert docstring_faults(ast.parse(path.read_text())) == []


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_descriptions_are_noun_phrases_with_units(path):
    found = descriptions(ast.parse(path.read_text()))
    assert [fault for text in found if (fault := description_fault(*text))] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_word_of_the_private_language(path):
    assert banned(path.read_text()) == []


@pytest.mark.slow
def test_class_names_are_unique():
    names = Counter(
        node.name
        for path, tree in trees()
        if path.parts[0] == "src"
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize(
    "docstring",
    ["What the arm does.", "Whether it is.", "Of a scene.", "Who ends it.", "As told."],
)
def test_a_docstring_that_begins_with_a_clause_is_caught(docstring):
    assert docstring_faults(ast.parse(f'def f():\n    """{docstring}"""'))


@pytest.mark.parametrize(
    "source",
    [
        'x: float = parameter("Maximum speed", low=0.0, high=1.0)',
        'x: float = parameter("how fast [m/s]", low=0.0, high=1.0)',
        'x: str = parameter("Whether it is so")',
        'DeclareLaunchArgument("task", description="of VIMA-Bench, or none")',
        'DeclareLaunchArgument("task")',
        'parser.add_argument("--seeds", help="episodes of each task")',
        'parser.add_argument("--time", type=float, help="Duration")',
        'parser.add_argument("--out", help=f"for {name}")',
    ],
)
def test_a_description_that_is_no_noun_phrase_is_caught(source):
    assert any(description_fault(*found) for found in descriptions(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "told = 1",
        "def take_pictures(): pass",
        "class EyesNode: pass",
        "# as judged",
        "f('unseen')",
    ],
)
def test_a_banned_word_is_caught(source):
    assert banned(source)
