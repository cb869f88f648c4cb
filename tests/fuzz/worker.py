"""A process that runs cases one after another, tells of each as a line, and may be killed at any time."""

import contextlib
import io
import json
import os
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

MOST_MEMORY = 2 << 30


def leftovers(place: Path, before: set[Path], code: object) -> list[str]:
    """Files that no command may leave: half-written ones, and of one that refused its input any but whole caches."""
    new = [path for path in place.rglob("*") if path.is_file() and path not in before]
    cache = place / "cache"
    bad = [path for path in new if path.name.startswith(".") or (code == 2 and not path.is_relative_to(cache))]
    for path in new:
        path.unlink()
    return [str(path.relative_to(place)) for path in bad]


def tried(case: Any, place: Path, before: set[Path]) -> dict[str, Any]:
    """How one case ends."""
    original = case.file.read_bytes() if case.file else b""
    if case.file:
        case.file.write_bytes(case.content)
    out, err, trouble = io.StringIO(), io.StringIO(), ""
    code: Any = None
    began = time.monotonic()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = case.command()
    except SystemExit as exit_:
        code = exit_.code
    except BaseException:
        trouble = traceback.format_exc()
    finally:
        if case.file:
            case.file.write_bytes(original)
    told = {"family": case.family, "name": case.name, "code": code, "seconds": round(time.monotonic() - began, 2)}
    same = bool(case.file) and case.content == original
    if not trouble and (code not in (0, 1, 2) or "Traceback (most recent" in err.getvalue()):
        trouble = f"code {code}: {err.getvalue()[-500:]}"
    if code == 2 and not err.getvalue().strip() and not out.getvalue().strip():
        trouble = "no message"
    return {**told, "trouble": trouble, "left": leftovers(place, before, code), "same": same}


def main(seed: int, begin: int, end: int) -> None:
    """Run cases ``begin`` to ``end - 1`` on a place of this process's own."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    place = Path(mkdtemp(prefix="fuzz-"))
    os.environ["PROBE_CACHE"] = str(place / "cache")
    from fuzz.families import build, case

    with contextlib.redirect_stdout(io.StringIO()):
        build(place)
    (place / "out").mkdir()
    (place / "sentences.txt").write_text("Return the path of the file.\nRead it twice.\n")
    os.chdir(place)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    before = {path for path in place.rglob("*") if path.is_file()}
    print("ready", flush=True)
    for number in range(begin, end):
        found = tried(case(place, seed, number), place, before)
        print(json.dumps({"number": number, **found}), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
