"""What a package index gets: equal bytes from every copy of the sources, the whole package, and no dead link."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from places import ROOT

import probe


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def built(place: Path, *kinds: str, mode: int) -> dict[str, Path]:
    """Files that a copy of the repository makes, whose files are all of today."""
    for name in tracked():
        (place / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, place / "copy" / name)
        (place / "copy" / name).chmod(mode)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", place / "dist", *kinds, place / "copy"]
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return {path.name: path for path in sorted((place / "dist").iterdir())}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist, and the wheel that is made from it."""
    return built(tmp_path_factory.mktemp("first"), mode=0o644)


def only(dist: dict[str, Path], suffix: str) -> Path:
    (path,) = (path for name, path in dist.items() if name.endswith(suffix))
    return path


@pytest.mark.slow
def test_another_copy_makes_the_same_bytes_and_so_does_the_sdist(dist: dict[str, Path], tmp_path: Path):
    again = built(tmp_path, "--sdist", "--wheel", mode=0o600)
    assert set(dist) == {f"cma_probe-{probe.__version__}{rest}" for rest in (".tar.gz", "-py3-none-any.whl")}
    assert {name: path.read_bytes() for name, path in again.items()} == {
        name: path.read_bytes() for name, path in dist.items()
    }


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package_and_no_other(dist: dict[str, Path]):
    with zipfile.ZipFile(only(dist, ".whl")) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == {name for name in tracked() if name.startswith("probe/")}


@pytest.mark.slow
def test_the_sdist_holds_what_makes_the_wheel_and_its_licences(dist: dict[str, Path]):
    with tarfile.open(only(dist, ".tar.gz")) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    outside = {name for name in names if not name.startswith("probe/")}
    assert outside == {
        *("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "constraints.txt"),
        *("PKG-INFO", ".gitignore"),
    }


def test_the_page_of_the_index_links_to_nothing_that_is_not_there():
    shown = subprocess.run(
        [sys.executable, "-m", "hatch_fancy_pypi_readme"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    tokens = [one for block in MarkdownIt("commonmark").parse(shown) for one in (block.children or [])]
    targets = [str(one.attrs[name]) for one in tokens for name in ("href", "src") if name in one.attrs]
    assert targets
    assert [target for target in targets if not target.startswith("https://")] == []
    assert "pip install cma-probe" in shown
    named = re.findall(r"\(`((?:docs|alignments|figures|benchmarks|notebooks|probe)/[^`]*)`\)", shown)
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []
