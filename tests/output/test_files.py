import errno
import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from probe.errors import OutputError, ProbeError
from probe.output.files import replacing_directory, replacing_file, sweep

Replacing = Callable[[Path], AbstractContextManager[Path]]
BOTH = pytest.mark.parametrize("replacing", [replacing_file, replacing_directory])


def fill(temporary: Path, content: str) -> None:
    """Write where a block is told to: to the file itself, or into the directory."""
    (temporary / "inner" if temporary.is_dir() else temporary).write_text(content)


def begin_and_raise(replacing: Replacing, target: Path, error: type[BaseException]) -> None:
    with replacing(target) as temporary:
        fill(temporary, "new")
        raise error


def content(path: Path) -> str:
    return (path / "inner" if path.is_dir() else path).read_text()


def names(directory: Path) -> list[str]:
    """Everything in a directory, hidden files too."""
    return sorted(os.listdir(directory))


@pytest.fixture
def umask() -> Generator[None]:
    old = os.umask(0o027)
    yield
    os.umask(old)


@BOTH
def test_writes_and_replaces(replacing: Replacing, tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    for new in ("first", "second"):
        with replacing(target) as temporary:
            fill(temporary, new)
            assert temporary.parent == tmp_path  # a rename must not cross file systems
        assert content(target) == new
        assert names(tmp_path) == ["out.json"]


@BOTH
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_content_and_no_temporary(
    replacing: Replacing, error: type[BaseException], tmp_path: Path
) -> None:
    target = tmp_path / "out"
    with replacing(target) as temporary:
        fill(temporary, "old")
    with pytest.raises(error):
        begin_and_raise(replacing, target, error)
    assert content(target) == "old"
    assert names(tmp_path) == ["out"]


@BOTH
def test_an_error_leaves_nothing_where_nothing_was(replacing: Replacing, tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        begin_and_raise(replacing, tmp_path / "out", KeyError)
    assert names(tmp_path) == []


def test_a_new_directory_leaves_nothing_of_the_old(tmp_path: Path) -> None:
    target = tmp_path / "out"
    (target / "deep").mkdir(parents=True)
    (target / "deep" / "stale").touch()
    with replacing_directory(target) as temporary:
        (temporary / "fresh" / "deeper").mkdir(parents=True)
        (temporary / "fresh" / "deeper" / "file").touch()
    assert names(target) == ["fresh"]
    assert (target / "fresh" / "deeper" / "file").is_file()


@BOTH
@pytest.mark.parametrize("missing", ["no/such/out", "file/out"])
def test_a_place_that_cannot_be_written_to(replacing: Replacing, missing: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a regular file")
    with pytest.raises(OutputError) as caught, replacing(tmp_path / missing):
        pytest.fail("the block is never entered")
    (problem,) = caught.value.problems
    assert problem.where == str(tmp_path / missing)
    assert "a place to write to" in problem.expected
    assert problem.got == "Not a directory" or problem.got.startswith("no folder ")
    assert "another path" in problem.remedy
    assert names(tmp_path) == ["file"]


def test_a_file_does_not_replace_a_directory(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept").touch()
    with pytest.raises(OutputError), replacing_file(tmp_path / "out") as temporary:
        temporary.write_text("new")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["kept"]


def test_a_directory_does_not_replace_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("kept")
    with pytest.raises(OutputError), replacing_directory(tmp_path / "out") as temporary:
        fill(temporary, "new")
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out").read_text() == "kept"


def test_the_old_directory_returns_where_the_new_one_cannot_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "kept").touch()
    rename = Path.replace

    def out_of_order(source: Path, to: Path) -> Path:
        if to == target and "inner" in names(source):
            raise OSError(errno.EIO, "the disk fails in between")
        return rename(source, to)

    monkeypatch.setattr(Path, "replace", out_of_order)
    with pytest.raises(OutputError, match="the disk fails"), replacing_directory(target) as temporary:
        fill(temporary, "new")
    assert names(target) == ["kept"]
    assert names(tmp_path) == ["out"]


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    # What --json /dev/null would do for root, on a device that nobody misses.
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OutputError, match="neither a file"), replacing_file(tmp_path / "fifo") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "fifo").is_fifo()
    assert names(tmp_path) == ["fifo"]


@BOTH
def test_a_link_stays_a_link(replacing: Replacing, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far" / "out")
    for new in ("first", "second"):
        with replacing(tmp_path / "link") as temporary:
            fill(temporary, new)
        assert (tmp_path / "link").is_symlink()
        assert content(tmp_path / "far" / "out") == new
    assert names(tmp_path) == ["far", "link"]
    assert names(tmp_path / "far") == ["out"]


@pytest.mark.usefixtures("umask")
def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    with replacing_file(tmp_path / "file") as temporary:
        temporary.write_text("")
    with replacing_directory(tmp_path / "directory") as temporary:
        fill(temporary, "")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"file": 0o640, "directory": 0o750, "inner": 0o640}
    assert os.umask(0o027) == 0o027  # which was only looked at


def test_an_error_of_our_own_passes_through(tmp_path: Path) -> None:
    with pytest.raises(ProbeError) as caught, replacing_file(tmp_path / "out"):
        raise ProbeError
    assert type(caught.value) is ProbeError


def test_the_suffix_is_kept_for_libraries_that_look_at_it(tmp_path: Path) -> None:
    with replacing_file(tmp_path / "map.npz") as temporary:
        assert temporary.suffix == ".npz"


def test_leftovers_of_killed_writes_are_swept_and_nothing_else(tmp_path: Path) -> None:
    for name in (".a.json.abcdefgh.json", ".step-3.q_1abc23", ".step-4.abcdefgh", ".step-4.abcdefgh.old"):
        fill(tmp_path / name, name) if name.startswith(".a") else (tmp_path / name).mkdir()
    (tmp_path / "step-4").mkdir()
    (tmp_path / ".step-5.abcdefgh.old").mkdir()  # killed between the two renames
    fill(tmp_path / ".step-5.abcdefgh.old", "old")
    others = [".a.json", ".b.json.abcdefgh.json", ".step-3.ABCDEFGH", "step-3.abcdefgh"]
    for name in others:
        (tmp_path / name).touch()
    sweep(tmp_path, "a.json", "step-*")
    assert names(tmp_path) == sorted([*others, "step-4", "step-5"])
    assert content(tmp_path / "step-5") == "old"
    sweep(tmp_path / "none", "a.json")
