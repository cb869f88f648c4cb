"""Sequence-level distillation data: the prompts of a corpus with responses that the teacher writes, as one jsonl file.

The file is in DSKD's layout, with the fields ``prompt``, ``output`` as the teacher wrote it, and ``reference``, the
original response. Until it is whole, responses are kept in a partial file, one a line as they are made, from which a
killed run goes on. Beside them lies what made them, and nothing else may go on with them or replace them. The batch
size is no part of that: responses do not depend on it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from probe.errors import OutputError, Problem, TrainingError
from probe.models.tokenizer import Tokenizer
from probe.output.files import replacing_file, sweep
from probe.output.locks import LOCK, held
from probe.output.reading import Wanted, decoded, parse_json, read_object
from probe.training.data.corpus import Split, read_corpus
from probe.training.evaluation.generate import GenerationSettings, generate_rows
from probe.training.examples import Example, digest
from probe.training.model_files import directory_of, running_device, weights_digest

SAMPLED = 1024
"""Values of each tensor that name a teacher."""


class ResponseRun(NamedTuple):
    """What a run is made of; ``data`` is as in `probe.training.data.corpus.read_corpus`."""

    teacher: str
    data: str
    split: Split
    settings: GenerationSettings
    seed: int
    batch_size: int


class Written(NamedTuple):
    """What a run leaves: the file, its rows, and how many responses were empty and are not in it."""

    path: Path
    rows: int
    dropped: int

    def __str__(self) -> str:
        return f"{self.path}: {self.rows} rows; {self.dropped} empty responses dropped"


def write_responses(run: ResponseRun, directory: Path) -> Written:
    """Let the teacher answer all prompts of a split, in ``directory``. A killed run goes on; a finished one stays.

    Raises:
        TrainingError: data, teacher or settings cannot be used, or the directory holds the work of others.
        CheckpointError: the teacher's tokenizer cannot be read.
        OutputError: the directory cannot be written to, or another process writes there.
    """
    with held(directory):
        sweep(directory, f"{run.split}.*")
        try:
            return _write(run, directory)
        finally:
            (directory / LOCK).unlink(missing_ok=True)  # the directory holds data alone


def _write(run: ResponseRun, directory: Path) -> Written:
    examples = read_corpus(run.data, run.split)
    place = directory_of(run.teacher)
    tokenizer = Tokenizer.load(place)
    model = _load(place)
    files = _Files(directory, run.split)
    files.claim(
        {
            "teacher": teacher_digest(model),
            "precision": str(model.dtype),
            "tokenizer": tokenizer.vocabulary_sha256(),
            "data": digest(examples),
            "seed": run.seed,
            **asdict(run.settings),
        }
    )
    if not files.whole.is_file():
        responses = files.resume(len(examples))
        left = {row: example.prompt for row, example in enumerate(examples) if row not in responses}
        made = generate_rows(model, tokenizer, left, run.settings, batch_size=run.batch_size, seed=run.seed)
        with files.partial.open("a", encoding="utf-8", newline="\n", buffering=1) as lines:
            for row, text in made:
                lines.write(json.dumps({"row": row, "output": text}, ensure_ascii=False) + "\n")
                responses[row] = text
        files.finish(examples, responses)
    files.partial.unlink(missing_ok=True)
    rows = files.whole.read_bytes().count(b"\n")
    return Written(files.whole, rows, len(examples) - rows)


def teacher_digest(model: Any) -> str:
    """What names a teacher: its weights, the same for every exact storage type."""
    return weights_digest(sorted(model.state_dict().items()), SAMPLED, with_precision=False)


def _load(place: Path) -> Any:
    from transformers import AutoModelForCausalLM

    # A processor multiplies float32 fastest; a large teacher fits a graphics card only as it is stored.
    device = running_device()
    dtype = torch.float32 if device.type == "cpu" else "auto"
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(place, dtype=dtype, trust_remote_code=False)
    except (OSError, ValueError) as error:
        got = str(error).partition("\n")[0]
        remedy = "Name a directory that save_pretrained wrote."
        raise TrainingError(Problem(str(place), "a causal language model", got, remedy)) from error
    return model.to(device)


class _Files:
    """The file of one split, and what lies beside it while it is made."""

    def __init__(self, directory: Path, split: Split) -> None:
        self.whole = directory / f"{split}.jsonl"
        self.partial = directory / f"{split}.partial.jsonl"
        self.made_by = directory / f"{split}.settings.json"

    def claim(self, settings: Mapping[str, Any]) -> None:
        """Write down what makes the file, or check that it is what did.

        Raises:
            TrainingError: other settings did, or the file was there before.
            OutputError: there is no such directory, and none can be made.
        """
        made = self._made()
        if made and not self.made_by.is_file():
            remedy = "Name an empty directory: that file may be the data itself."
            raise TrainingError(Problem(str(made), "no such file yet", "one that no run says it made", remedy))
        if made:
            remedy = "Name an empty directory."
            stored = read_object(self.made_by, Wanted("the settings of a run", remedy, TrainingError))
            differ = [name for name in {**stored, **settings} if stored.get(name) != settings.get(name)]
            if differ:
                expected, got = ({name: side.get(name) for name in differ} for side in (settings, stored))
                remedy = "Give the settings of that run to go on with it, or name an empty directory."
                raise TrainingError(Problem(str(self.made_by), f"a run with {expected}", f"one with {got}", remedy))
            return
        try:
            self.made_by.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            got = error.strerror or str(error)
            raise OutputError(
                Problem(str(self.made_by.parent), "a directory to write to", got, "Name another.")
            ) from error
        with replacing_file(self.made_by) as temporary:
            temporary.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    def _made(self) -> Path | None:
        """A file with responses. Settings alone bind nobody: they may be why nothing was made."""
        if self.whole.exists():
            return self.whole
        return self.partial if self.partial.is_file() and self.partial.stat().st_size else None

    def resume(self, count: int) -> dict[int, str]:
        """Responses by row that an earlier run made; a line that it was killed in is forgotten.

        Raises:
            TrainingError: a line is not of such a run.
        """
        if not self.partial.is_file():
            return {}
        content = self.partial.read_bytes()
        end = content.rfind(b"\n") + 1
        with self.partial.open("r+b") as file:
            file.truncate(end)
        responses: dict[int, str] = {}
        for number, line in enumerate(content[:end].split(b"\n")[:-1], start=1):
            row, text = _response(line)
            if row not in range(count) or not isinstance(text, str):
                got = line[:60].decode(errors="replace")
                remedy = f"Delete the file and {self.made_by.name} to begin again."
                expected = f"a response to one of {count} rows"
                raise TrainingError(Problem(f"{self.partial.name}:{number}", expected, got, remedy))
            responses[row] = text
        return responses

    def finish(self, examples: Sequence[Example], responses: Mapping[int, str]) -> None:
        """Write the whole file, in the order of the data and without empty responses."""
        with replacing_file(self.whole) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as lines:
            for row, example in enumerate(examples):
                if responses[row].strip():
                    fields = {"prompt": example.prompt, "output": responses[row], "reference": example.output}
                    lines.write(json.dumps(fields, ensure_ascii=False) + "\n")


def _response(line: bytes) -> tuple[Any, Any]:
    try:
        wanted = Wanted("a response", "", TrainingError)
        read = parse_json(decoded(line, "a line", wanted), "a line", wanted)
        return read["row"], read["output"]
    except (TrainingError, LookupError, TypeError):
        return None, None
