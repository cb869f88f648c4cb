"""Write commands.md: what ``--help`` of every command says, from the options themselves. ``make docs`` runs this."""

import argparse
import sys
import tomllib
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "commands.md"
WIDTH = 78  # what argparse makes of 80 columns
PYTHON = (3, 11)
"""Other versions of argparse lay the same options out otherwise; CI runs this one."""

HEAD = """# Commands

What `--help` of each command says. `make docs` writes this page; edit the options in `probe/cli` instead.

| | |
|---|---|
"""


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Each command of pyproject.toml, with its options."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    return {name: import_module(entry.partition(":")[0]).parser() for name, entry in scripts.items()}


def with_subcommands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser, and those of its subcommands."""
    yield parser
    for action in parser._actions:  # argparse has no public way to ask
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from with_subcommands(one)


def document() -> str:
    """The page."""
    commands = parsers()
    rows = [f"| [`{name}`](#{name}) | {parser.description} |" for name, parser in commands.items()]
    parts = [section(one) for parser in commands.values() for one in with_subcommands(parser)]
    return "\n".join([HEAD + "\n".join(rows), *parts])


def section(parser: argparse.ArgumentParser) -> str:
    """Heading and help of one command, as wide everywhere, whatever the terminal."""
    level = "#" * (1 + len(parser.prog.split()))
    parser.formatter_class = partial(parser.formatter_class, width=WIDTH)
    return f"\n{level} {parser.prog}\n\n```text\n{parser.format_help().rstrip()}\n```"


def main() -> int:
    """Entry point."""
    if sys.version_info[:2] != PYTHON:
        print(f"docs/commands.md is laid out by Python {PYTHON[0]}.{PYTHON[1]}: run make docs with it", file=sys.stderr)
        return 2
    PAGE.write_text(document() + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
