"""Start many runs without importing torch for each: reads one request a line, forks, answers with the child's id.

A request is ``{"argv": [...], "log": path}``, and what is wanted of:

- ``kill_at`` and ``watch``: the child kills itself once n times a file or directory has appeared below ``watch``, or
  with ``gone`` has disappeared: between two files, wherever that is;
- ``limit``: no file that it writes can grow beyond so many bytes;
- ``renames``: a file that takes the new name of everything that is renamed;
- ``cache``: PROBE_CACHE;
- ``command``: another one than train: ``reproduce``, ``pretrain``, or ``fetch``, which knows the ``pairs`` alone.

A second line with the child's code follows when it has ended.
"""

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, Trainer  # noqa: F401

import probe.training.__main__ as pretraining
import probe.training.pretraining.run
import probe.training.trainer.run  # noqa: F401
from probe.cli import models, reproduce
from probe.cli.train import main
from probe.models import fetch as fetching
from probe.models.fetch import Model, Wheel


def die_at_change(watch: str, count: int, *, gone: bool) -> None:
    """Python announces what it does by audit events; those of any kind are moments to look at the files."""
    seen: set[str] | None = None
    changes, looking = 0, False

    def look(*_: Any) -> None:
        nonlocal seen, changes, looking
        if looking:
            return
        looking = True
        now = {os.path.join(folder, name) for folder, _, names in os.walk(watch) for name in [*names, "."]}
        if seen is not None and (seen - now if gone else now - seen):
            changes += 1
            if changes == count:
                os.kill(os.getpid(), signal.SIGKILL)
        seen = now
        looking = False

    look()
    sys.addaudithook(look)


def note_renames(file: str) -> None:
    names = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename":
            os.write(names, f"{os.fspath(arguments[1])}\n".encode())

    sys.addaudithook(note)


def child(request: dict[str, Any]) -> int:
    # A shell that starts the tests in the background has them ignore Ctrl-C, and they would hand that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if "cache" in request:
        os.environ["PROBE_CACHE"] = request["cache"]
    if "renames" in request:
        note_renames(request["renames"])
    if "limit" in request:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["limit"], resource.RLIM_INFINITY))
    if "kill_at" in request:
        Path(request["watch"]).mkdir(parents=True, exist_ok=True)
        die_at_change(request["watch"], request["kill_at"], gone=request.get("gone", False))
    return start(request)


def start(request: dict[str, Any]) -> int:
    match request.get("command", "train"):
        case "reproduce":
            return reproduce.main(request["argv"])
        case "pretrain":
            sys.argv = ["pretrain", *request["argv"]]
            return pretraining.main()
        case "fetch":
            for name, roles in request["pairs"].items():
                models_of = {role: Model(m[0], tuple(Wheel(*w) for w in m[1]), m[2], m[3]) for role, m in roles.items()}
                fetching.PAIRS = {name: models_of}
            return models.main(request["argv"])
        case _:
            return main(request["argv"])


def serve() -> None:
    torch.set_num_threads(1)
    print(transformers.__version__, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = child(request)
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
