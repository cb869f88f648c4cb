"""docs/commands.md is what the commands say, and every command that a document quotes has the options it uses."""

import re
import runpy
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest
from documents import HISTORY, ROOT, commands_in, commands_of, documents, recipe

DOCS = runpy.run_path(str(ROOT / "docs" / "commands.py"))
PARSERS: dict[str, ArgumentParser] = DOCS["parsers"]()
QUOTING = [document for document in documents() if document.path.name not in HISTORY]


def quoted() -> list[tuple[str, list[str]]]:
    """(where, words) of every command that a document, an epilog or the Makefile shows."""
    found = [(str(document), words) for document in QUOTING for words in document.commands()]
    epilogs = {f"{name} --help": commands_of(parser.epilog or "") for name, parser in PARSERS.items()}
    recipes = {f"make {target}": recipe(target) for target in ("probe", "figures", "picture", "reports")}
    return found + [(where, words) for where, commands in (epilogs | recipes).items() for words in commands]


QUOTED = quoted()


def options(name: str) -> set[str]:
    """Of a command and its subcommands."""
    parsers = DOCS["with_subcommands"](PARSERS[name])
    return {option for parser in parsers for option in parser._option_string_actions}


@pytest.mark.skipif(sys.version_info[:2] != DOCS["PYTHON"], reason="other versions of argparse lay help out otherwise")
def test_the_page_of_commands_is_what_they_say(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "40")  # whatever the terminal is
    assert DOCS["PAGE"].read_text(encoding="utf-8") == DOCS["document"]() + "\n", "the options changed: run make docs"


def test_every_command_says_its_version():
    for name, parser in PARSERS.items():
        assert "--version" in options(name)
        assert parser.prog == name


def test_commands_are_found_where_they_are_quoted():
    places = {where for where, _ in QUOTED}
    assert places >= {"README.md", "alignments/README.md", "probe-train --help", "make figures"}
    assert {words[0] for _, words in QUOTED} == set(PARSERS)
    assert list(commands_in("A=1 probe-x --a 'b c' < in | cut -f 1 && probe-y … > out; accelerate -m probe.cli.z")) == [
        ["probe-x", "--a", "b c"],
        ["probe-y"],
        ["probe-z"],
    ]


@pytest.mark.parametrize(("where", "words"), QUOTED, ids=[f"{where}: {' '.join(words)}" for where, words in QUOTED])
def test_quoted_command_has_the_options_it_uses(
    where: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)  # an option may make its directory, within one that a clone has
    (tmp_path / "figures" / "saved").mkdir(parents=True)
    try:
        PARSERS[words[0]].parse_args(words[1:])
    except SystemExit as stop:  # --help and --version stop too, with 0
        if stop.code:
            pytest.fail(f"{where}: {' '.join(words)}\n{capsys.readouterr().err}")


def test_options_named_in_the_documents_exist():
    everywhere = set[str]().union(*map(options, PARSERS))
    seen = 0
    for document in QUOTING:
        for code in document.inline_code():
            if not code.startswith(("--", "probe-")):
                continue
            name = code.split()[0]
            named = set(re.findall(r"(?<!\S)--[a-z][a-z0-9-]*", code))
            assert named <= (options(name) if name in PARSERS else everywhere), f"{document}: {code}"
            seen += len(named)
    assert seen > 30
