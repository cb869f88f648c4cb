"""Work in stages, each kept under a digest of all that it depends on.

A stage whose directory says that it is done is not done again; one whose inputs have changed has another digest, and
so another directory, as have all that need it. One that was interrupted is made again in the same directory, where it
may find what it left. A stage that fails takes those that need it with it, and no other.
"""

import hashlib
import json
import re
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from probe import __version__
from probe.errors import ProbeError, TrainingError
from probe.output.files import replacing_file, sweep
from probe.output.locks import held
from probe.output.reading import Wanted, read_object

NOTE, TROUBLE = "stage.json", "failure.txt"
State = Literal["made", "kept", "failed", "not reached"]


@dataclass(frozen=True)
class Stage:
    """Something to make in a directory of its own."""

    name: str
    """For people; the same name may have several digests over time."""
    inputs: Mapping[str, Any]
    """Everything it depends on beside other stages, as JSON."""
    make: Callable[[Path], None]
    """Fills the directory it is given, which an interrupted run may have left half full."""
    needs: tuple["Stage", ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the inputs, of the digests of what it needs, and of the version of this package."""
        content = {"inputs": self.inputs, "needs": [one.digest for one in self.needs], "version": __version__}
        return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What became of a stage."""

    stage: Stage
    state: State
    finished: str | None = None
    """Date and time in UTC."""
    seconds: float | None = None
    """That making it took, then."""
    trouble: str | None = None
    """Why it failed, in a line; or which stage it waits for."""


class Store:
    """The directory in which stages lie."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def place(self, stage: Stage) -> Path:
        """The directory of a stage."""
        made = next(self.directory.glob(f"*-{stage.digest[:12]}"), None)
        return made or self.directory / f"{re.sub('[^a-z0-9]+', '-', stage.name.lower())[:80]}-{stage.digest[:12]}"

    def has(self, stage: Stage) -> bool:
        """Whether the stage is done."""
        return (self.place(stage) / NOTE).is_file()

    def held(self) -> AbstractContextManager[None]:
        """Keep other processes out.

        Raises:
            OutputError: another one is at work here, or there can be no such directory.
        """
        return held(self.directory, remedy="Name another.")

    def run(self, stages: Sequence[Stage], say: Callable[[Outcome], None]) -> list[Outcome]:
        """Make all stages, in order, that are not there; every stage stands after those it needs."""
        outcomes: dict[str, Outcome] = {}
        told: list[Outcome] = []
        for stage in stages:
            missing = [one.name for one in stage.needs if outcomes[one.digest].state in ("failed", "not reached")]
            outcome = Outcome(stage, "not reached", trouble=f"needs {missing[0]}") if missing else self._make(stage)
            outcomes[stage.digest] = outcome
            told.append(outcome)
            say(outcome)
        return told

    def _make(self, stage: Stage) -> Outcome:
        place = self.place(stage)
        note = place / NOTE
        if note.is_file():
            stored = read_object(note, Wanted("the note of a finished stage", f"Delete {place}.", TrainingError))
            return Outcome(stage, "kept", stored.get("finished"), stored.get("seconds"))
        place.mkdir(exist_ok=True)
        sweep(place, "*")  # the directory is the store's own, and held
        (place / TROUBLE).unlink(missing_ok=True)
        began = time.monotonic()
        try:
            stage.make(place)
        # Broad, because whatever ends one stage must not lose the others; the report and the file say what it was.
        except Exception as error:
            (place / TROUBLE).write_text(traceback.format_exc(), encoding="utf-8")
            told = str(error) if isinstance(error, ProbeError) else f"{type(error).__name__}: {error}"
            return Outcome(stage, "failed", trouble=told.partition("\n")[0])
        seconds = round(time.monotonic() - began, 1)
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        content = {"name": stage.name, "finished": finished, "seconds": seconds, "digest": stage.digest}
        content |= {"inputs": stage.inputs, "needs": {one.name: one.digest for one in stage.needs}}
        with replacing_file(note) as temporary:
            temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return Outcome(stage, "made", finished, seconds)
