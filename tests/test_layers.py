"""The house as a table: which module may import which. A new arrow is a decision, and is made here."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "probe"

# Each module may import those on earlier lines of this list; those on its own line may not import each other.
LAYERS = [
    "errors",
    "escapes documents files markdown provenance sources tokens projectors",
    "table_files encodings chunks attention maps aligners",
    "table_foreign pair_rows tokenizer",
    "table_sources pairs references stats half_rule link_formats phenomena",
    "embeddings destinations agreement align_jsonl drafts pair_check pair_stats",
    "truth",
    "scores",
    "triples",
    "checkpoint conversion report",
    "models comparison given_maps",
    "cma key_scale method_comparison",
    "plots",
    "adopt fitting methods",
    "align",
    "doctor find keyquery",
    "explorer figures",
    "training",
    "cli",
]
ORDER = {module: number for number, line in enumerate(LAYERS) for module in line.split()}
# Beside that: the core never imports training, and nothing imports cli. Drawing never sees a model.
MODELS = {"models", "cma", "checkpoint", "embeddings", "align", "find"}
FORBIDDEN = {"plots": MODELS, "figures": MODELS | {"methods", "adopt", "doctor", "fitting"}}


def room(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("probe.")}
    return found & (ORDER.keys() | {"training", "cli"})


def test_every_module_has_its_place():
    rooms = {room(path) for path in PACKAGE.rglob("*.py")} - {"__init__"}
    assert rooms == set(ORDER)


def test_imports_go_one_way():
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {other}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != PACKAGE / "__init__.py"
        for other in sorted(imports(path) - {room(path)})
        if ORDER[other] >= ORDER[room(path)] or other in FORBIDDEN.get(room(path), ())
    ]
    assert not wrong


def test_the_rule_sees_imports_inside_functions():
    assert "align" in imports(PACKAGE / "cli" / "align.py")
