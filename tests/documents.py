"""The repository's documents as their readers see them: links, pictures, anchors, code, and the commands they quote."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from places import ROOT

ROOMS = ("alignments", "benchmarks", "docs", "figures", "notebooks", "probe", "tests")
HISTORY = ("CHANGELOG.md", "LOG.md")
"""What stood when they were written; options may have gone since."""

SHELLS = ("bash", "sh")
MARKDOWN = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Document:
    path: Path
    text: str

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def tokens(self) -> list[Token]:
        """Blocks, each followed by what is inline in it."""
        return [part for block in MARKDOWN.parse(self.text) for part in (block, *(block.children or ()))]

    def links(self) -> list[str]:
        return [str(token.attrs["href"]) for token in self.tokens if token.type == "link_open"]

    def pictures(self) -> list[str]:
        raw = [token.content for token in self.tokens if token.type.startswith("html_")]
        tagged = re.findall(r'\bsrc(?:set)?="([^" ]+)', "\n".join(raw))
        return [str(token.attrs["src"]) for token in self.tokens if token.type == "image"] + tagged

    def anchors(self) -> set[str]:
        """Names of headings, as code hosts make them."""
        found: list[str] = []
        for heading, title in zip(self.tokens, self.tokens[1:], strict=False):
            if heading.type == "heading_open":
                words = "".join(part.content for part in title.children or () if part.type in ("text", "code_inline"))
                name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
                found.append(name)
        return {f"{name}-{again}" if (again := found[:n].count(name)) else name for n, name in enumerate(found)}

    def inline_code(self) -> list[str]:
        return [token.content for token in self.tokens if token.type == "code_inline"]

    def commands(self) -> list[list[str]]:
        """Words of each command of this package that a block of code shows."""
        fences = [token for token in self.tokens if token.type == "fence"]
        return [words for fence in fences for line in shell_lines(fence) for words in commands_in(line)]


def documents() -> list[Document]:
    paths = [*ROOT.glob("*.md"), *(path for room in ROOMS for path in (ROOT / room).rglob("*.md"))]
    found = [Document(path, path.read_text(encoding="utf-8")) for path in sorted(paths)]
    for path in sorted(ROOT.glob("notebooks/*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        told = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
        found.append(Document(path, "\n\n".join(told)))
    return found


def recipe(target: str) -> list[list[str]]:
    """Words of the commands of this package that make would run for a target."""
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True)
    return commands_of(done.stdout)


def commands_of(text: str) -> list[list[str]]:
    return [words for line in joined(text).splitlines() for words in commands_in(line)]


def shell_lines(fence: Token) -> Iterator[str]:
    """What a reader would type: all of a block for the shell, or what stands behind the prompts of a console."""
    whole = joined(fence.content)
    for line in whole.splitlines():
        if fence.info in SHELLS:
            yield line
        elif line.startswith("$ "):
            yield line.removeprefix("$ ")


def joined(text: str) -> str:
    """Lines that go on, at a backslash or a pipe, as one."""
    return re.sub(r"\|\n(?!\$ )", "| ", re.sub(r"\\\n", " ", text))  # a table printed may end in a pipe, too


def commands_in(line: str) -> Iterator[list[str]]:
    """Words of the commands of this package in a line of shell, without what shells and readers put around them."""
    if "probe-" not in line and "probe.cli." not in line:
        return
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set(";|&"):
            yield from command(words)
            words = []
        else:
            words.append(word)


def command(words: list[str]) -> Iterator[list[str]]:
    words = [word for word in words if word not in ("…", "...")]
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    for sign in ("<", ">"):
        if sign in words:
            words = [*words[: words.index(sign)], *words[words.index(sign) + 2 :]]
    for place, word in enumerate(words):
        if word.startswith("probe.cli.") and words[place - 1] == "-m":
            yield [f"probe-{word.removeprefix('probe.cli.')}", *words[place + 1 :]]
    if words and Path(words[0]).name.startswith("probe-"):
        yield [Path(words[0]).name, *words[1:]]
