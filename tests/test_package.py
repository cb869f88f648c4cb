import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points

import jaxtyping
import numpy as np
import pytest
from places import ROOT

import probe
from probe.attention import bigrams

HEAVY = (
    *("torch", "transformers", "pandas", "matplotlib", "scipy", "tokenizers", "huggingface_hub", "gguf", "rich"),
    *("sklearn", "ot", "anywidget", "ipywidgets"),
)
SECOND = ROOT / "alignments" / "second.tsv"


def test_public_names_are_listed_once_sorted_and_there():
    assert probe.__all__ == sorted(set(probe.__all__))
    assert set(probe.__all__) == set(probe._HOMES)
    for name in probe.__all__:
        home = sys.modules.get(f"probe.{probe._HOMES[name]}")
        assert getattr(probe, name).__module__.startswith("probe."), home
    with pytest.raises(AttributeError, match="no attribute 'attend'"):
        _ = probe.attend


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sorted(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import probe") == set()


@pytest.mark.parametrize(
    "command", ["align", "eval", "figures", "heatmap", "keyquery", "models", "pairs", "reproduce", "train"]
)
def test_help_stays_light(command: str):
    code = f"from probe.cli.{command} import main\ntry: main(['--help'])\nexcept SystemExit as e: assert e.code == 0"
    assert loaded_by(code) == set()


def test_scoring_without_a_page_loads_no_drawing():
    code = f"from probe.cli.align import main\nassert main(['--pairs', {str(SECOND)!r}, '--methods', 'lexical']) == 0"
    assert "matplotlib" not in loaded_by(code)


def test_the_numpy_path_loads_no_torch():
    code = "import numpy as np\nfrom probe.attention import softmax\nsoftmax(np.zeros((2, 2)), axis=1)"
    assert loaded_by(code) == set()


def test_aligning_tokens_loads_tokenizers_alone():
    code = "import probe\nprobe.align_tokens('a', 'bundled:demo/student', 'bundled:demo/teacher')"
    assert loaded_by(code) <= {"tokenizers", "scipy"}


def test_key_query_distances_load_no_torch():
    code = (
        "from probe.keyquery.two_samples import only_numpy\nonly_numpy()\nimport numpy as np\n"
        "from probe.keyquery.two_samples import sorted_projections\n"
        "sorted_projections(np.zeros((4, 2)), seed=0)"
    )
    assert loaded_by(code) >= {"ot"}
    assert "torch" not in loaded_by(code)


def test_shapes_are_checked_in_tests():
    with pytest.raises(jaxtyping.TypeCheckError):
        bigrams(np.zeros((3, 2)), np.zeros((4, 2)))


def test_shapes_are_checked_in_every_room_but_that_of_tokens():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["addopts"]
    (packages,) = re.findall(r"--jaxtyping-packages=(\S+)", options)
    rooms = {
        path.stem for path in (ROOT / "probe").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    left_out = {"tokens", "__init__", "__main__"}
    assert packages.split(",") == [*(f"probe.{room}" for room in sorted(rooms - left_out)), "beartype.beartype"]


def test_commands_are_entry_points():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    installed = {point.name: point.value for point in entry_points(group="console_scripts")}
    assert declared.items() <= installed.items()


def test_the_version_is_that_of_the_newest_changes_and_of_the_citation():
    newest = re.search(r"(?m)^## (\S+), ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    cited = re.search(r"(?m)^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert newest is not None
    assert cited is not None
    assert newest[1] == cited[1] == probe.__version__
    assert (
        tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["version"]["path"] == "probe/__init__.py"
    )


def test_the_overview_of_a_checkpoint_loads_no_statistics_of_scipy():
    code = f"from probe.cli.align import main\nassert main(['--pairs', {str(SECOND)!r}]) == 0"
    unwanted = [f"scipy.{name}" for name in ("stats", "optimize", "special", "sparse")]
    script = f"import sys\n{code}\nprint(*[m for m in {unwanted} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not done.stdout.splitlines()[-1].split()
