"""Instruction rows that every machine can make: the docstrings of Python's own standard library.

Sources are read with ``ast``, never imported. The instruction asks what a function, class or module does; the response
is the first paragraph of its docstring. Rows differ a little between builds of Python, so a checkpoint records their
digest.
"""

import ast
import inspect
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from probe.training.examples import Example

PROMPT = "### Instruction:\nWhat does {name} do?\n\n### Response:\n"
SKIPPED_FOLDERS = frozenset({"site-packages", "dist-packages", "test", "tests", "__pycache__", "idle_test", "lib2to3"})
MIN_WORDS, MAX_CHARS = 4, 400


def docstring_examples(library: Path | None = None) -> list[Example]:
    """Rows of all docstrings of the standard library, sorted by name, each response once."""
    root = library or Path(sysconfig.get_paths()["stdlib"])
    rows: dict[str, str] = {}
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if SKIPPED_FOLDERS.isdisjoint(relative.parts):
            for name, docstring in _docstrings(path, _module_name(relative)):
                response = _first_paragraph(docstring)
                if len(response.split()) >= MIN_WORDS and len(response) <= MAX_CHARS:
                    rows.setdefault(response, name)
    return [Example(PROMPT.format(name=name), response) for response, name in sorted(rows.items(), key=lambda r: r[1])]


def _module_name(relative: Path) -> str:
    parts = relative.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _docstrings(path: Path, module: str) -> Iterator[tuple[str, str]]:
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:  # some files of the library are bad on purpose
        return
    pending: list[tuple[str, ast.AST]] = [(module, tree)]
    while pending:
        name, node = pending.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            if docstring:
                yield name, docstring
            children = (child for child in node.body if hasattr(child, "name"))
            pending.extend((f"{name}.{child.name}", child) for child in children)  # type: ignore[attr-defined]


def _first_paragraph(docstring: str) -> str:
    return " ".join(inspect.cleandoc(docstring).split("\n\n")[0].split())
