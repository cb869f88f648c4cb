"""The house as a table: which room may import which, at every level. A new arrow is a decision, and is made here."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest
from places import ROOT

PACKAGE = ROOT / "probe"

ROOMS = [
    *("errors", "stats", "output", "tokens", "arrays", "projectors", "chunks", "attention", "maps"),
    *("models", "gold", "aligners", "scoring", "exchange", "report", "checkpoints", "plots"),
    *("alignment", "keyquery", "watch", "sharing", "widgets", "figures", "training", "functional", "cli", "__main__"),
]
"""A room may import those before it. Inside of each, and further down, no two may import each other in a circle."""

MODELS = {"models", "checkpoints", "alignment"}
FORBIDDEN = {"plots": MODELS, "figures": MODELS}
"""Drawing never loads a model."""

Arrows = dict[str, set[str]]


def imports(path: Path, modules: set[str]) -> set[str]:
    """Modules of the package that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in modules else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] == "probe"} - {"probe"}


def house(package: Path) -> dict[str, set[str]]:
    """What every module but the front door imports, by dotted names."""
    paths: dict[str, Path] = {}
    for path in sorted(package.rglob("*.py")):
        parts = ("probe", *path.relative_to(package).with_suffix("").parts)
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: imports(path, set(paths)) for name, path in paths.items() if name != "probe"}


def arrows_by_floor(modules: dict[str, set[str]]) -> dict[str, Arrows]:
    """For each folder, the arrows between the rooms in it: each import counts where the two paths part."""
    floors: dict[str, Arrows] = defaultdict(lambda: defaultdict(set))
    for name, imported in modules.items():
        for other in imported:
            here, there = name.split("."), other.split(".")
            same = next((k for k, (a, b) in enumerate(zip(here, there, strict=False)) if a != b), None)
            if same is not None:
                floors[".".join(here[:same])][here[same]].add(there[same])
    return floors


def circle(arrows: Arrows) -> list[str]:
    """One circle of the rooms of a floor, or nothing."""

    def walk(room: str, path: list[str]) -> list[str]:
        if room in path:
            return [*path[path.index(room) :], room]
        if room in done:
            return []
        for other in sorted(arrows.get(room, ())):
            if found := walk(other, [*path, room]):
                return found
        done.add(room)
        return []

    done: set[str] = set()
    return next((found for room in sorted(arrows) if (found := walk(room, []))), [])


def wrong_arrows(arrows: Arrows) -> list[str]:
    """Those between the top rooms that go upwards, or from a picture to a model."""
    order = {room: number for number, room in enumerate(ROOMS)}
    return [
        f"{room} imports {other}"
        for room, others in sorted(arrows.items())
        for other in sorted(others)
        if order[other] >= order[room] or other in FORBIDDEN.get(room, ())
    ]


MODULES = house(PACKAGE)
FLOORS = arrows_by_floor(MODULES)


def test_every_room_has_its_place():
    assert sorted({name.split(".")[1] for name in MODULES}) == sorted(ROOMS)


def test_every_folder_says_what_it_is_for():
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    for folder in folders:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))), folder


@pytest.mark.parametrize("floor", sorted(FLOORS))
def test_no_circle(floor: str):
    assert not circle(FLOORS[floor])


def test_imports_go_one_way():
    assert not wrong_arrows(FLOORS["probe"])


def test_the_rule_sees_imports_inside_functions():
    assert "probe.alignment.align" in MODULES["probe.cli.align"]


def test_an_upward_arrow_and_a_model_in_a_picture_are_seen():
    assert wrong_arrows({"tokens": {"gold"}, "gold": {"tokens"}}) == ["tokens imports gold"]
    assert wrong_arrows({"plots": {"models", "maps"}}) == ["plots imports models"]


def test_a_circle_is_seen_on_any_floor():
    modules = {"probe.a.b": {"probe.a.c"}, "probe.a.c": {"probe.a.d.e"}, "probe.a.d.f": {"probe.a.b"}}
    assert circle(arrows_by_floor(modules)["probe.a"]) == ["b", "c", "d", "b"]
    del modules["probe.a.d.f"]
    assert not circle(arrows_by_floor(modules)["probe.a"])
