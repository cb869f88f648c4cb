"""What a checkpoint directory is, what it lacks, and what to do about it: the findings behind ``probe-models doctor``.

Probing stops at the first thing that is wrong, for it must not guess. This goes on to the end: each part of the
directory gets a verdict of its own, and whatever cannot be read becomes a finding, never an error.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool, Float

from probe.adopt import (
    ARGUMENTS,
    CONFIG,
    PROJECTORS,
    PROMPT,
    TRAINED_KURTOSIS,
    TRAINED_QUERY,
    UNIFORM_KURTOSIS,
    projector_structures,
    read_projector_file,
    run_arguments,
    run_batch_size,
    run_criterion,
    student_source,
    weight_kurtosis,
)
from probe.attention import attention_logits, bigrams
from probe.checkpoint import MANIFEST, TENSORS, Checkpoint, ModelRecord, group_projectors, load_checkpoint
from probe.embeddings import EmbeddingTable, open_table
from probe.errors import CheckpointError, MapError, ProbeError, Problem
from probe.key_scale import Batches, simulated_key_scale
from probe.models import OpenModel, open_model, tokenizer_of
from probe.projectors import QUERY, Linear, Projector, parse_structure
from probe.sources import BUNDLED, CACHE, bundled_dir, bundled_names, cache_dir, resolve
from probe.table_files import damaged, find_table, read_header
from probe.table_sources import Download, Hub, Source, base_model, find_source, read_json
from probe.tokenizer import Tokenizer

STUDENT, TEACHER = "student", "teacher"
TOPICS = (
    *("directory", "arguments", "criterion", STUDENT, TEACHER, "projectors", "query"),
    *("key scale", "batches", "EOS", "alignment"),
)
"""What findings are about, in the order in which they are told."""

ADAPTER = "adapter_config.json"
KNOWN_FILES = (MANIFEST, PROJECTORS, ARGUMENTS, "config.json", ADAPTER)

GOOD_FIT = 0.9
"""R² from which on the weights are those of these projectors and tables."""

_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
# Below this, float16 keeps at most four bits of a weight. Bfloat16 keeps its eight down to 1e-38.
_NOISE_FLOOR = 1e-6
# Half a unit in the last place of bfloat16 is up to this share of a weight.
_ROUNDING = 2**-8
_SCALE_TOLERANCE = 0.05
_MOST_LINES = 100  # of an alignment file: far more than one number needs
_SHOWN_FILES = 12
_HASHED_ROWS = 8192  # at a time: 64 MB at a width of 2,048

# What is read of args.json, and the types that it is written with. Anything else there is not ours to judge.
_ARGUMENT_TYPES: dict[str, type] = {
    "criterion": str,
    "model_path": str,
    "teacher_model_path": str,
    "teacher_model_type": str,
    "projector_config_path": str,
    "batch_size": int,
    "max_length": int,
    "do_train": bool,
    "only_save_projector": bool,
}

Value = TypeVar("Value")


class Verdict(StrEnum):
    """Whether something is as it should be, cannot be told, or stands in the way of probing."""

    OK = "ok"
    UNVERIFIED = "unverified"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one topic, and what to do where there is something to do."""

    topic: str
    verdict: Verdict
    facts: tuple[str, ...]
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch's directory, and what its name tells: ``epoch3_step1071_loss2.7312_rougel25.8114``."""

    path: Path
    number: int | None = None
    step: int | None = None
    loss: float | None = None
    rougel: float | None = None


@dataclass(frozen=True, slots=True)
class Alignment:
    """One line of an ``align.jsonl``: the weights of a response, by *input* tokens, from the last one of the prompt on.

    Row i therefore belongs to the bigram of tokens i and i + 1; of the last row and column the target is EOS.
    """

    student: tuple[str, ...]
    teacher: tuple[str, ...]
    weights: Float[np.ndarray, "_ _"]


@dataclass(frozen=True, slots=True)
class KeyScaleFit:
    """Logarithms of exported weights, regressed on the logits that a key scale of 1 would give.

    In one row, log A_ij - log A_ij' = (l_ij - l_ij') / key_scale: the softmax's denominator is gone.
    """

    slope: float
    r_squared: float
    residual: float
    """Root mean square of what the line leaves of the logarithms, which is about the relative error of a weight."""
    pairs: int
    """Independent differences between weights of one row."""
    lines: int
    zeros: float
    """Share of the weights that are exactly zero, as masked ones are."""

    @property
    def key_scale(self) -> float | None:
        """What the keys were divided by; None where larger logits do not mean larger weights."""
        return 1 / self.slope if self.slope > 0 else None

    @property
    def is_good(self) -> bool:
        """Whether the weights come from these projectors and tables."""
        return self.slope > 0 and self.r_squared >= GOOD_FIT


@dataclass(frozen=True)
class Diagnosis:
    """All that was found. `directory` is the one examined: for a whole run, that of one epoch."""

    directory: Path
    kind: str
    findings: tuple[Finding, ...]
    epochs: tuple[Epoch, ...] = ()
    choice: str = ""
    """Why this epoch."""
    fit: KeyScaleFit | None = None
    table_hashes: Mapping[str, str] = field(default_factory=dict[str, str])
    """SHA-256 over all stored rows as float32, by role; empty unless asked for."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Topics that stand in the way of probing."""
        return tuple(dict.fromkeys(f.topic for f in self.findings if f.verdict is Verdict.PROBLEM))


@dataclass(frozen=True, slots=True)
class _Request:
    """What the user says and asks beyond the directory."""

    student: str | None
    teacher: str | None
    align: Path | None
    texts: Sequence[str]


@dataclass
class _Notes:
    """Findings as they come."""

    directory: Path
    findings: list[Finding] = field(default_factory=list[Finding])

    def add(self, topic: str, verdict: Verdict, *facts: str, remedy: str = "") -> None:
        self.findings.append(Finding(topic, verdict, tuple(map(self._short, facts)), remedy))

    def _short(self, fact: str) -> str:
        """The path of the directory is told once, above all findings."""
        here, above = self.directory, self.directory.parent
        return fact.removeprefix(f"{here}: ").replace(f"{here}/", "").replace(f"{above}/{ARGUMENTS}", f"../{ARGUMENTS}")

    def attempt(self, topic: str, call: Callable[[], Value]) -> Value | None:
        """The result; or None, and findings in its place."""
        try:
            return call()
        except ProbeError as error:
            self.refuse(topic, *error.problems)
        # Broad: files come damaged in more ways than their readers have errors for, and the next topic is waiting.
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
            self.add(topic, Verdict.PROBLEM, got, remedy="The files are damaged or of another format: save them again.")
        return None

    def refuse(self, topic: str, *problems: Problem) -> None:
        """One finding for all problems that are mended the same way."""
        for remedy in dict.fromkeys(problem.remedy for problem in problems):
            same = [f"{p.where}: expected {p.expected}; got {p.got}" for p in problems if p.remedy == remedy]
            self.add(topic, Verdict.PROBLEM, *same, remedy=remedy)


def diagnose(
    named: str,
    *,
    student: str | None = None,
    teacher: str | None = None,
    align: Path | None = None,
    texts: Sequence[str] = (),
    hash_tables: bool = False,
) -> Diagnosis:
    """Explain a directory: an epoch of DSKD's, the run that holds several, or a checkpoint of ours.

    Args:
        named: the directory, or the name of a bundled checkpoint.
        student: the student model, where it lies elsewhere.
        teacher: the same for the teacher.
        align: weights that the run's own code exported, one JSON object a line, to measure the key scale with.
        texts: responses to simulate the key scale with; by default the one sentence of the prompt.
        hash_tables: whether to read both embedding tables whole.

    Raises:
        CheckpointError: there is no such directory, or it may not be read.
    """
    directory = (bundled_dir() / named if named in bundled_names() else Path(named)).resolve()
    if not directory.is_dir():
        got = "a file" if directory.exists() else "nothing there"
        remedy = "Name an epoch's directory, or the one of the run above it."
        raise CheckpointError(Problem(named, "a directory", got, remedy))
    if not os.access(directory, os.R_OK | os.X_OK):
        raise CheckpointError(Problem(named, "a directory", "one that may not be read", "Change its permissions."))
    has_projectors = any((directory / name).is_file() for name in (MANIFEST, PROJECTORS))
    epochs = () if has_projectors else find_epochs(directory)
    chosen, choice = _choose(epochs) if epochs else (directory, "")
    notes = _Notes(chosen)
    kind = _kind(chosen)
    tables: dict[str, EmbeddingTable] = {}
    fit = None
    _examine_files(chosen, kind, notes)
    request = _Request(student, teacher, align, texts)
    if (chosen / MANIFEST).is_file():
        fit = _examine_own(chosen, request, notes, tables)
    elif _is_checkpoint(chosen):
        fit = _examine_epoch(chosen, request, notes, tables)
    hashes = _hash(tables, notes) if hash_tables else {}
    findings = tuple(sorted(notes.findings, key=lambda finding: TOPICS.index(finding.topic)))
    return Diagnosis(chosen, kind, findings, epochs, choice, fit, hashes)


# Directories


def find_epochs(run: Path) -> tuple[Epoch, ...]:
    """Epochs in the directory of a run, in the order of their steps."""
    found = [epoch for path in sorted(run.iterdir()) if path.is_dir() and (epoch := _epoch(path))]
    return tuple(sorted(found, key=lambda epoch: (epoch.step or 0, epoch.number or 0)))


def _epoch(path: Path) -> Epoch | None:
    match = re.fullmatch(r"epoch(\d+)(?:_step(\d+))?(?:_loss([\d.]+|nan|inf))?(?:_rougel([\d.]+))?", path.name)
    if match is None:
        return Epoch(path) if (path / PROJECTORS).is_file() else None
    number, step, loss, rougel = match.groups()
    return Epoch(path, int(number), int(step) if step else None, _number(loss), _number(rougel))


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:  # "1.2.3"
        return None


def _choose(epochs: Sequence[Epoch]) -> tuple[Path, str]:
    """By ROUGE-L, as the released code keeps epochs; the loss may rise while it improves."""
    scored = [(epoch.rougel, epoch.step or 0, epoch.path) for epoch in epochs if epoch.rougel is not None]
    if scored:
        return max(scored)[2], "the best by ROUGE-L"
    return epochs[-1].path, "the latest"


def _is_checkpoint(directory: Path) -> bool:
    return any((directory / name).is_file() for name in KNOWN_FILES if name != ARGUMENTS)


def _kind(directory: Path) -> str:
    has = {name for name in KNOWN_FILES if (directory / name).is_file()}
    if MANIFEST in has:
        return "a checkpoint in this project's format"
    if PROJECTORS in has:
        beside = "a LoRA student" if ADAPTER in has else "a student" if "config.json" in has else "no student"
        return f"an epoch of DSKD's: projectors and {beside}"
    if has - {ARGUMENTS}:
        return "a LoRA adapter without projectors" if ADAPTER in has else "a model without projectors"
    return "a run without epochs" if ARGUMENTS in has else "no checkpoint"


def _examine_files(directory: Path, kind: str, notes: _Notes) -> None:
    names = sorted(path.name for path in directory.iterdir())
    more = f" and {len(names) - _SHOWN_FILES} more" if len(names) > _SHOWN_FILES else ""
    facts = (kind, f"files: {', '.join(names[:_SHOWN_FILES])}{more}" if names else "it is empty")
    if _is_checkpoint(directory):
        notes.add("directory", Verdict.OK, *facts)
    else:
        remedy = f"Name a directory that holds {PROJECTORS} or {MANIFEST}, or the one above such directories."
        notes.add("directory", Verdict.PROBLEM, *facts, remedy=remedy)


# An epoch of DSKD's


@dataclass(frozen=True, slots=True)
class _Stored:
    """Projectors as ``projector.pt`` has them, before anything is known of the models."""

    tensors: Mapping[str, np.ndarray]
    structures: Mapping[str, str]
    dtypes: str

    def width(self, role: str) -> int | None:
        """A model's width by the shapes of the tensors; None where they are empty or contradict each other."""
        units = {STUDENT: int(role == STUDENT), TEACHER: int(role == TEACHER)}
        found: set[float] = set()
        for name, structure in self.structures.items():
            # With the other model's width at 0 and this one's at 1, a layer's widths are multiples.
            for layer in parse_structure(structure, **units):
                shape = self.tensors[f"{name}.{layer.index}.weight"].shape if self._has(name, layer.index) else ()
                if isinstance(layer, Linear) and len(shape) == 2:
                    multiples = zip(shape, (layer.width_out, layer.width_in), strict=True)
                    found |= {size / multiple for size, multiple in multiples if multiple}
        return int(found.pop()) if len(found) == 1 else None

    def _has(self, name: str, index: int) -> bool:
        return f"{name}.{index}.weight" in self.tensors


def _examine_epoch(
    epoch: Path, request: _Request, notes: _Notes, tables: dict[str, EmbeddingTable]
) -> KeyScaleFit | None:
    arguments = _examine_arguments(epoch, notes)
    criterion = _examine_criterion(epoch, arguments, notes)
    stored = _read_projectors(epoch, arguments, notes)
    lines = _read_lines(request, notes)
    models = {
        STUDENT: _examine_student(epoch, arguments, request, stored, notes),
        TEACHER: _examine_teacher(arguments, request, stored, lines, notes),
    }
    tables |= {role: seen.table for role, seen in models.items() if seen}
    projectors = _examine_projectors(stored, models, notes) if stored else {}
    if stored is not None and QUERY not in stored.structures:
        fact, remedy = f"projectors {', '.join(stored.structures)} alone", "There is no attention to probe."
        notes.add("query", Verdict.PROBLEM, fact, remedy=remedy)
    _examine_query(None if criterion is None else criterion in TRAINED_QUERY, projectors.get(QUERY), notes)
    batches = _examine_batches(epoch, arguments, notes)
    opened = {role: model for role, seen in models.items() if seen and (model := _open(role, seen, notes))}
    _examine_ends(opened, notes)
    _examine_key_scale(opened.get(TEACHER), batches, request, notes)
    return _examine_alignment(lines, projectors.get(QUERY), opened, notes)


def _examine_arguments(epoch: Path, notes: _Notes) -> dict[str, Any]:
    arguments = notes.attempt("arguments", lambda: run_arguments(epoch))
    if arguments is None:
        return {}
    strange = {
        key: value
        for key, value in arguments.items()
        if key in _ARGUMENT_TYPES and value is not None and not isinstance(value, _ARGUMENT_TYPES[key])
    }
    if strange:
        facts = [
            f"{key}: {value!r}, which is not of type {_ARGUMENT_TYPES[key].__name__}" for key, value in strange.items()
        ]
        notes.add("arguments", Verdict.PROBLEM, *facts, remedy=f"Mend {ARGUMENTS}.")
    place = next((place for place in (epoch, epoch.parent) if (place / ARGUMENTS).is_file()), None)
    if place is None:
        remedy = "Copy it from the run's directory, or name both models."
        notes.add("arguments", Verdict.UNVERIFIED, f"no {ARGUMENTS}, here or in the directory above", remedy=remedy)
    elif read_json(place / ARGUMENTS).get("do_train", True):
        notes.add("arguments", Verdict.OK, f"{ARGUMENTS} {_whereabouts(place, epoch)}, written by training")
    else:
        fact = f"{ARGUMENTS} {_whereabouts(place, epoch)} was written over by an evaluation"
        remedy = "What only training decides is read from the directory's name instead."
        notes.add("arguments", Verdict.UNVERIFIED, fact, remedy=remedy)
    return {key: value for key, value in arguments.items() if key not in strange}


def _whereabouts(place: Path, epoch: Path) -> str:
    return "here" if place == epoch else "in the directory above"


def _examine_criterion(epoch: Path, arguments: Mapping[str, Any], notes: _Notes) -> str | None:
    criterion = run_criterion(epoch, arguments)
    source = ARGUMENTS if arguments.get("criterion") else "the path"
    if criterion is None:
        notes.add("criterion", Verdict.UNVERIFIED, f"neither {ARGUMENTS} nor the path names one")
    elif criterion in TRAINED_QUERY:
        notes.add("criterion", Verdict.OK, f"{criterion}, by {source}: it trains the query projector")
    else:
        fact = f"{criterion}, by {source}: it never trains the query projector"
        remedy = "There is no attention to probe. Take a run of a criterion with cross-model attention."
        notes.add("criterion", Verdict.PROBLEM, fact, remedy=remedy)
    return criterion


# Models


@dataclass(frozen=True)
class _Seen:
    """A model as far as it could be opened."""

    source: str
    facts: tuple[str, ...]
    table: EmbeddingTable
    tokenizer: Tokenizer | None
    problems: tuple[Problem, ...] = ()

    def open(self) -> OpenModel | None:
        """The model as probing opens it, or None without a tokenizer."""
        if self.tokenizer is None:
            return None
        prompt_end, eos = self.tokenizer.encode(PROMPT)[-1], self.tokenizer.dskd_eos_id
        return OpenModel(self.source, self.table, self.tokenizer, prompt_end, eos)


def _open(role: str, seen: _Seen, notes: _Notes) -> OpenModel | None:
    model = notes.attempt(role, seen.open)
    if model is not None and model.eos_id >= model.table.rows:
        fact = f"its end of sequence has id {model.eos_id}, past the table's {model.table.rows} rows"
        notes.add(role, Verdict.PROBLEM, fact, remedy="Put the model's own tokenizer beside it.")
        return None
    return model


def _see(source: str, relative_to: Path | None = None, download: Download | None = None) -> _Seen:
    """Open what there is of a model.

    Raises:
        ProbeError: not even its embedding table can be read.
    """
    found = resolve(source, relative_to or Path.cwd())
    table = open_table(found, download=download)
    kind, dtype = _header(found, download)
    problems: tuple[Problem, ...] = ()
    tokenizer, pieces = None, None
    try:
        tokenizer = tokenizer_of(found)
        pieces = _pieces(tokenizer.path)
    except ProbeError as error:
        problems = error.problems
    if pieces is not None and pieces > table.rows:
        got = f"{pieces} pieces for {table.rows} rows"
        problems = (Problem(source, "a row for each piece", got, "Put the model's own tokenizer beside it."),)
    beside = f"tokenizer of {pieces} pieces" if pieces is not None else "no tokenizer that can be read"
    facts = (f"{kind}: {table.rows} rows × {table.width}, {dtype}; {beside}",)
    return _Seen(source, facts, table, None if problems else tokenizer, problems)


def _header(found: Path | str, download: Download | None) -> tuple[str, str]:
    """Model type, and the type that the embedding table is stored in, without reading it."""
    if Path(found).suffix == ".gguf":
        return "GGUF", "of a type that is widened to float32"
    files = find_source(found, where=str(found), download=download)
    file = _weights_file(files)
    adapter = files.fetch(ADAPTER)
    if file is None and adapter is not None:
        files = base_model(files, adapter, download)
        file = _weights_file(files)
    config_file = files.fetch("config.json")
    config = read_json(config_file) if config_file else {}
    kind = str(config.get("model_type", "unknown type"))
    if file is not None and file.suffix == ".safetensors":
        header = read_header(file)[0]
        stored = header[find_table(header, file)]["dtype"]
        return kind, _DTYPES.get(stored, str(stored))
    named = config.get("dtype") or config.get("torch_dtype")
    return kind, f"{named} by config.json" if named else "dtype not named"


def _weights_file(files: Source) -> Path | None:
    """The file that holds the embedding table."""
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (whole := files.fetch(name)) is not None:
            return whole
        if (index := files.fetch(f"{name}.index.json")) is not None:
            shards: dict[str, str] = read_json(index)["weight_map"]
            return files.fetch(shards[find_table(shards, index)])
    return None


def _pieces(file: Path) -> int:
    """Ids that a ``tokenizer.json`` gives out, counted in the file; the library takes seconds to open a large one.

    Raises:
        TableError: the file, or a configuration beside it, is not JSON.
    """
    for name in ("tokenizer_config.json", "config.json"):
        if (beside := file.with_name(name)).is_file():
            read_json(beside)
    content = read_json(file)
    try:
        vocabulary: Any = content["model"]["vocab"]
        ids = vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))
        added: Any = content.get("added_tokens") or []
        return 1 + max([*ids, *(token["id"] for token in added)], default=-1)
    except (KeyError, TypeError) as error:
        got = f"none called {error}" if isinstance(error, KeyError) else str(error)
        raise damaged(file, "a tokenizer with a vocabulary", got) from error


def _examine_student(
    epoch: Path, arguments: Mapping[str, Any], request: _Request, stored: _Stored | None, notes: _Notes
) -> _Seen | None:
    source = request.student or notes.attempt(STUDENT, lambda: student_source(epoch, arguments))
    if source is None:
        return None
    adapter = Path(source) / ADAPTER
    if adapter.is_file() and not (Path(source) / "config.json").is_file():
        return _examine_adapter(source, adapter, stored, notes)
    seen = notes.attempt(STUDENT, lambda: _see(source))
    if seen is not None and request.student:
        _note_model(STUDENT, Verdict.UNVERIFIED, seen, [f"{source}, as you say"], stored, notes)
    elif seen is not None:
        said = [] if source == str(epoch) else [f"{source}, which a run that trains projectors alone leaves as it was"]
        _note_model(STUDENT, Verdict.OK, seen, said, stored, notes)
    return seen


def _examine_adapter(source: str, adapter: Path, stored: _Stored | None, notes: _Notes) -> _Seen | None:
    from huggingface_hub import hf_hub_download

    cached = partial(hf_hub_download, local_files_only=True)  # a look must not start a download
    config = notes.attempt(STUDENT, lambda: read_json(adapter))
    if config is None:
        return None
    base = str(config.get("base_model_name_or_path") or "nothing")
    said = f"LoRA adapter of rank {config.get('r')} on {base}"
    remedy = (
        "An adapter leaves the embeddings alone, so a copy of the base model will do: name it with --student, "
        f"or write its path into {ADAPTER}."
    )
    try:
        files = find_source(base, where=f"{ADAPTER}: base_model_name_or_path", download=cached)
    except ProbeError:
        fact = "the base is not on this machine, nor is it owner/name on the hub"
        notes.add(STUDENT, Verdict.PROBLEM, said, fact, remedy=remedy)
        return None
    if isinstance(files, Hub) and files.fetch("config.json") is None:
        fact = "the base is not in the hub's cache; probing would download it"
        notes.add(STUDENT, Verdict.UNVERIFIED, said, fact, remedy=remedy)
        return None
    seen = notes.attempt(STUDENT, lambda: _see(source, download=cached))
    if seen is not None:
        _note_model(STUDENT, Verdict.OK, seen, [f"{said}, which is here"], stored, notes)
    return seen


def _note_model(
    role: str, verdict: Verdict, seen: _Seen, said: Sequence[str], stored: _Stored | None, notes: _Notes
) -> None:
    width = stored and stored.width(role)
    if width is not None and width != seen.table.width:
        fact = f"its width is {seen.table.width}; the projectors were made for {width}"
        remedy = f"Name the {role} that the projectors were trained with, with --{role}."
        notes.add(role, Verdict.PROBLEM, *said, *seen.facts, fact, remedy=remedy)
    else:
        doubt = "; nothing says these are the same weights" if verdict is Verdict.UNVERIFIED else ""
        fits = [f"width {width} fits the projectors{doubt}"] if width is not None else []
        wrong = [f"{problem.where}: expected {problem.expected}; got {problem.got}" for problem in seen.problems]
        remedy = seen.problems[0].remedy if seen.problems else ""
        notes.add(role, Verdict.PROBLEM if wrong else verdict, *said, *seen.facts, *fits, *wrong, remedy=remedy)


def _examine_teacher(
    arguments: Mapping[str, Any],
    request: _Request,
    stored: _Stored | None,
    lines: Sequence[Alignment],
    notes: _Notes,
) -> _Seen | None:
    named: str | None = arguments.get("teacher_model_path")
    source = request.teacher or (named if named and Path(named).exists() else None)
    if source is None:
        _suggest_teachers(named, arguments, stored, lines, notes)
        return None
    seen = notes.attempt(TEACHER, lambda: _see(source))
    if seen is not None:
        if source == named:
            said, verdict = [f"{source}, as {ARGUMENTS} says"], Verdict.OK
        else:
            said, verdict = [f"{source}, as you say", *_named_elsewhere(named, arguments)], Verdict.UNVERIFIED
        if lines and _speaks(seen, lines):
            said.append("its tokenizer has every teacher token of the alignment")
        _note_model(TEACHER, verdict, seen, said, stored, notes)
    return seen


def _named_elsewhere(named: str | None, arguments: Mapping[str, Any]) -> list[str]:
    kind = arguments.get("teacher_model_type")
    return [f"{ARGUMENTS} names {named}" + (f", of type {kind}" if kind else "")] if named else []


def _suggest_teachers(
    named: str | None,
    arguments: Mapping[str, Any],
    stored: _Stored | None,
    lines: Sequence[Alignment],
    notes: _Notes,
) -> None:
    said = _named_elsewhere(named, arguments)
    facts = [f"{said[0]}; it is not on this machine" if said else f"no {ARGUMENTS} names it"]
    width = stored and stored.width(TEACHER)
    found = [seen for seen in _models_at_hand() if seen.table.width == width and _speaks(seen, lines)]
    for seen in found:
        facts += [f"{seen.source}: {seen.facts[0]}", f"width {width} fits; nothing says these are the same weights"]
    if width is not None and not found:
        facts.append(f"the projectors need width {width}; no model in the cache or the package has it and its tokens")
    verdict = Verdict.UNVERIFIED if found else Verdict.PROBLEM
    example = f", for instance --teacher {found[0].source}" if found else ""
    notes.add(TEACHER, verdict, *facts, remedy=f"Name it with --teacher{example}.")


def _models_at_hand() -> list[_Seen]:
    """Models of the cache and of this package, those that can be read."""
    seen: list[_Seen] = []
    for root, prefix in ((cache_dir(), CACHE), (bundled_dir(), BUNDLED)):
        for config in sorted(root.glob("*/*/config.json")):
            # Notes that nobody reads: a broken model in the cache is no fault of this directory.
            model = _Notes(root).attempt(
                TEACHER, partial(_see, f"{prefix}{config.parent.relative_to(root).as_posix()}")
            )
            seen += [model] if model else []
    return seen


def _speaks(seen: _Seen, lines: Sequence[Alignment]) -> bool:
    """Whether a model's tokenizer has the teacher tokens of exported alignments; true where there are none."""
    if not lines:
        return True
    tokenizer = seen.tokenizer
    pieces = [piece for line in lines for piece in line.teacher]
    return tokenizer is not None and _Notes(Path()).attempt(TEACHER, lambda: tokenizer.ids(pieces)) is not None


# Projectors


def _read_projectors(epoch: Path, arguments: Mapping[str, Any], notes: _Notes) -> _Stored | None:
    if not (epoch / PROJECTORS).is_file():
        remedy = "Name the epoch that holds it. A run without projectors has no attention to probe."
        notes.add("projectors", Verdict.PROBLEM, f"no {PROJECTORS}", remedy=remedy)
        return None
    tensors = notes.attempt("projectors", lambda: read_projector_file(epoch / PROJECTORS))
    if tensors is None:
        return None
    structures = notes.attempt("projectors", lambda: _checked_structures(epoch, arguments, tensors))
    return None if structures is None else _Stored(tensors, structures, _torch_dtypes(epoch / PROJECTORS))


def _checked_structures(
    epoch: Path, arguments: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> Mapping[str, str]:
    structures = projector_structures(epoch, arguments, tensors)
    for structure in structures.values():
        parse_structure(structure, student=1, teacher=1)
    return structures


def _torch_dtypes(file: Path) -> str:
    """Types of the stored tensors, in a file that was read before."""
    import torch

    tensors = torch.load(file, map_location="cpu", weights_only=True)
    return " and ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}))


def _examine_projectors(stored: _Stored, models: Mapping[str, _Seen | None], notes: _Notes) -> Mapping[str, Projector]:
    """Projectors that fit the models; of a model that is not here, the width that the shapes tell."""
    student, teacher = (
        seen.table.width if (seen := models[role]) else stored.width(role) for role in (STUDENT, TEACHER)
    )
    empty = sorted(key for key, value in stored.tensors.items() if value.shape == (0,))
    if student is not None and teacher is not None:
        grouped = notes.attempt(
            "projectors", lambda: group_projectors(stored.tensors, stored.structures, student, teacher, PROJECTORS)
        )
        return grouped if grouped is not None and _note_values(stored, notes) else {}
    if empty:
        fact = f"empty tensors, as DeepSpeed ZeRO-3 leaves behind when nobody gathers them: {', '.join(empty)}"
        remedy = "Convert the run with DeepSpeed's zero_to_fp32.py, or save projectors inside GatheredParameters."
    else:
        fact, remedy = "their shapes do not tell the widths of both models", f"Copy the run's own {CONFIG} beside them."
    notes.add("projectors", Verdict.PROBLEM, *_shape_facts(stored), fact, remedy=remedy)
    return {}


def _note_values(stored: _Stored, notes: _Notes) -> bool:
    """Whether every value is finite."""
    bad = [key for key, value in stored.tensors.items() if not np.isfinite(value).all()]
    if bad:
        fact, remedy = f"NaN or infinite values in {', '.join(bad)}", "Training diverged: take an earlier checkpoint."
        notes.add("projectors", Verdict.PROBLEM, *_shape_facts(stored), fact, remedy=remedy)
    else:
        fact = f"stored as {stored.dtypes}; every value is finite"
        notes.add("projectors", Verdict.OK, *_shape_facts(stored), fact)
    return not bad


def _shape_facts(stored: _Stored) -> list[str]:
    facts: list[str] = []
    for name, structure in stored.structures.items():
        weights = [v for key, v in stored.tensors.items() if re.fullmatch(rf"{re.escape(name)}\.\d+\.weight", key)]
        shapes = ", ".join(" × ".join(map(str, value.shape)) for value in weights)
        facts.append(f"{name}: {structure}, {shapes or 'no weights'}")
    return facts


def _examine_query(trains: bool | None, query: Projector | None, notes: _Notes) -> None:
    """Whether W_q was trained: by the criterion, and by the spread of its weights."""
    if query is None:
        return
    with np.errstate(invalid="ignore"):  # all zeros
        ratio = weight_kurtosis(query)
    spread = ratio >= TRAINED_KURTOSIS
    meaning = f"{UNIFORM_KURTOSIS} as initialised (uniform), above {TRAINED_KURTOSIS} trained"
    fact = f"E[w⁴]/E[w²]² of W_q is {ratio:.2f}: {meaning}"
    if trains is False:
        remedy = "A random query aligns nothing; probing refuses it."
        notes.add("query", Verdict.PROBLEM, "not trained, by the criterion", fact, remedy=remedy)
    elif trains is None and not spread:
        remedy = f"If the run did train it, name its criterion in {ARGUMENTS}."
        notes.add("query", Verdict.PROBLEM, "not trained, by the weights alone", fact, remedy=remedy)
    elif trains is None:
        notes.add("query", Verdict.UNVERIFIED, "trained, by the weights alone", fact)
    elif spread:
        notes.add("query", Verdict.OK, "trained, by the criterion and the weights", fact)
    else:
        said = "the criterion trains it, yet the weights are spread as at the beginning"
        notes.add("query", Verdict.UNVERIFIED, said, fact, remedy="Is this an early epoch? Compare with a later one.")


# The run


def _examine_batches(epoch: Path, arguments: Mapping[str, Any], notes: _Notes) -> Batches:
    batches = Batches(run_batch_size(epoch, arguments), int(arguments.get("max_length") or 512))
    from_path = re.search(r"__bsz=[0-9]+x", str(epoch))
    size = ARGUMENTS if arguments.get("batch_size") else "the path" if from_path else None
    length = ARGUMENTS if arguments.get("max_length") else None
    facts = [
        f"batch size {batches.size}, {f'by {size}' if size else 'assumed'}",
        f"max_length {batches.length}, {f'by {length}' if length else 'assumed'}",
    ]
    notes.add("batches", Verdict.OK if size and length else Verdict.UNVERIFIED, *facts)
    return batches


def _named_end(tokenizer: Tokenizer) -> int | None:
    try:
        return tokenizer.eos_id
    except CheckpointError:  # for Qwen nobody needed it
        return None


def _examine_ends(models: Mapping[str, OpenModel], notes: _Notes) -> None:
    facts: list[str] = []
    for role, model in models.items():
        own = _named_end(model.tokenizer)
        forced = f", which DSKD forces for Qwen; its tokenizer names {own}" if own != model.eos_id else ""
        facts.append(f"{role}: id {model.eos_id}{forced}")
    if facts:
        notes.add("EOS", Verdict.OK, *facts)


def _examine_key_scale(teacher: OpenModel | None, batches: Batches, request: _Request, notes: _Notes) -> None:
    texts = request.texts
    facts = ["none is stored: the run divided each padded batch by its own standard deviation"]
    if teacher is not None:
        sentence = PROMPT.partition("\n")[0]
        scale = notes.attempt("key scale", lambda: simulated_key_scale(teacher, texts or [sentence], batches))
        of = f"{len(texts)} texts" if texts else "the prompt's sentence, for want of texts (--pairs)"
        facts += [f"{scale:.4g} over simulated batches of {of}"] if scale is not None else []
    remedy = "Probing simulates it with the texts of --pairs, unless --key-scale says it."
    # The released analysis writes its file there, and one alone for all epochs.
    exported = notes.directory.parent / "align.jsonl"
    if request.align is None:
        remedy += f" Here, --align {exported if exported.is_file() else 'FILE'} measures it."
    notes.add("key scale", Verdict.UNVERIFIED, *facts, remedy=remedy)


# A checkpoint of ours


def _examine_own(
    directory: Path, request: _Request, notes: _Notes, tables: dict[str, EmbeddingTable]
) -> KeyScaleFit | None:
    lines = _read_lines(request, notes)
    checkpoint = notes.attempt("projectors", lambda: load_checkpoint(directory))
    if checkpoint is None:
        return None
    steps = f", {checkpoint.steps} steps" if checkpoint.steps is not None else ""
    notes.add("criterion", Verdict.OK, f"{checkpoint.method}, {checkpoint.criterion}{steps}")
    opened: dict[str, OpenModel] = {}
    for role, record, override in (
        (STUDENT, checkpoint.student, request.student),
        (TEACHER, checkpoint.teacher, request.teacher),
    ):
        model = notes.attempt(role, partial(open_model, record, role, directory=checkpoint.path, override=override))
        if model is not None:
            opened[role], tables[role] = model, model.table
            _examine_record(role, record, model, notes)
    _examine_own_projectors(checkpoint, notes)
    _examine_ends(opened, notes)
    return _examine_alignment(lines, checkpoint.projectors.get(QUERY), opened, notes, known=checkpoint.scales.key)


def _examine_record(role: str, record: ModelRecord, model: OpenModel, notes: _Notes) -> None:
    """The table was checked when it was opened; the tokenizer is checked here."""
    seen = notes.attempt(role, lambda: _see(model.source, notes.directory))
    vocabulary = notes.attempt(role, model.tokenizer.vocabulary_sha256)
    if seen is None or vocabulary is None:
        return
    facts = [f"{record.name}, in {model.source}", *seen.facts]
    if vocabulary == record.vocabulary_sha256:
        notes.add(role, Verdict.OK, *facts, "table and vocabulary are those of training, by their SHA-256")
    else:
        got = f"its vocabulary has SHA-256 {vocabulary[:12]}…; that of training had {record.vocabulary_sha256[:12]}…"
        notes.add(role, Verdict.PROBLEM, *facts, got, remedy="Put the tokenizer of training beside the model.")


def _examine_own_projectors(checkpoint: Checkpoint, notes: _Notes) -> None:
    """Shapes were checked against the structures when it was loaded."""
    tensors = {f"{name}.{key}": value for name, p in checkpoint.projectors.items() for key, value in p.tensors.items()}
    structures = {name: projector.structure for name, projector in checkpoint.projectors.items()}
    header, _ = read_header(checkpoint.path / TENSORS)
    dtypes = " and ".join(sorted({_DTYPES.get(entry["dtype"], str(entry["dtype"])) for entry in header.values()}))
    if not _note_values(_Stored(tensors, structures, dtypes), notes):
        return
    query = notes.attempt("query", lambda: checkpoint.query)
    _examine_query(True, query, notes)
    estimate = checkpoint.scales.key_is_estimate
    fact = f"{checkpoint.scales.key:.4g}, {'an estimate' if estimate else 'stored by training'}"
    notes.add("key scale", Verdict.UNVERIFIED if estimate else Verdict.OK, fact)


# Exported alignments


def read_alignments(path: Path, most: int = _MOST_LINES) -> tuple[Alignment, ...]:
    """The first lines of an ``align.jsonl``.

    Raises:
        MapError: the file cannot be read, or a line is no alignment.
    """
    try:
        with path.open(encoding="utf-8") as file:
            numbered = list(islice(((number, line) for number, line in enumerate(file, 1) if line.strip()), most))
    except (OSError, UnicodeDecodeError) as error:
        remedy = "Check the path; the released analysis script writes it."
        raise MapError(Problem(str(path), "a file of one JSON object a line", str(error), remedy)) from error
    if not numbered:
        raise MapError(Problem(str(path), "one JSON object a line", "an empty file", "Export the alignments again."))
    return tuple(_alignment(line, f"{path}:{number}") for number, line in numbered)


def _alignment(line: str, where: str) -> Alignment:
    expected = '{"student": [tokens], "teacher": [tokens], "alignment": [[weights]]}'
    remedy = "Write each token and each weight; rows are the student's."
    try:
        read: Any = json.loads(line)
        student, teacher = read[STUDENT], read[TEACHER]
        weights = np.asarray(read["alignment"], dtype=np.float64)
    except (ValueError, TypeError, KeyError) as error:
        got = f"none called {error}" if isinstance(error, KeyError) else str(error)
        raise MapError(Problem(where, expected, got, remedy)) from error
    if not all(isinstance(side, list) and all(isinstance(token, str) for token in side) for side in (student, teacher)):
        raise MapError(Problem(where, expected, "tokens that are no lists of strings", remedy))
    if weights.shape != (len(student), len(teacher)):
        got = f"{len(student)} and {len(teacher)} tokens, weights of shape {weights.shape}"
        raise MapError(Problem(where, expected, got, remedy))
    return Alignment(tuple(student), tuple(teacher), weights)


def fit_key_scale(lines: Sequence[Alignment], query: Projector, student: OpenModel, teacher: OpenModel) -> KeyScaleFit:
    """Measure the key scale of exported weights: the slope of their logarithms is its inverse.

    Raises:
        CheckpointError: a token is not in a model's vocabulary.
        MapError: no row has two weights to compare.
    """
    sums, pairs, zero, cells = np.zeros(3), 0, 0, 0
    for line in lines:
        logits = attention_logits(
            query, _input_bigrams(student, line.student), _input_bigrams(teacher, line.teacher), key_scale=1.0
        ).astype(np.float64)
        # Also false for NaN.
        kept = line.weights > _NOISE_FLOOR
        logs = np.log(line.weights, where=kept, out=np.zeros_like(line.weights))
        x, y = _within_rows(logits, kept), _within_rows(logs, kept)
        sums += np.array([(x * x).sum(), (x * y).sum(), (y * y).sum()])
        pairs += int(np.maximum(kept.sum(axis=1) - 1, 0).sum())
        zero += int((line.weights == 0).sum())
        cells += line.weights.size
    if not pairs or not sums[0]:
        got = f"{zero} zeros among {cells} weights" if not pairs else "one logit for all of them"
        remedy = "An attention this sharp, or a mask this narrow, tells no scale."
        raise MapError(Problem("alignment", f"two weights above {_NOISE_FLOOR:g} in some row", got, remedy))
    slope = float(sums[1] / sums[0])
    left = max(float(sums[2] - slope * sums[1]), 0.0)
    r_squared = 1 - left / float(sums[2]) if sums[2] else 0.0
    return KeyScaleFit(slope, r_squared, math.sqrt(left / pairs), pairs, len(lines), zero / cells)


def _input_bigrams(model: OpenModel, tokens: Sequence[str]) -> Float[np.ndarray, "tokens two_widths"]:
    rows = model.table.take(np.array([*model.tokenizer.ids(tokens), model.eos_id], dtype=np.int64))
    return bigrams(rows[:-1], rows[1:])


def _within_rows(
    values: Float[np.ndarray, "student teacher"], kept: Bool[np.ndarray, "student teacher"]
) -> Float[np.ndarray, "student teacher"]:
    """Differences from the mean of the row, over what is kept; 0 elsewhere."""
    means = np.where(kept, values, 0).sum(axis=1, keepdims=True) / np.maximum(kept.sum(axis=1, keepdims=True), 1)
    return np.where(kept, values - means, 0)


def _read_lines(request: _Request, notes: _Notes) -> Sequence[Alignment]:
    align = request.align
    return () if align is None else notes.attempt("alignment", lambda: read_alignments(align)) or ()


def _examine_alignment(
    lines: Sequence[Alignment],
    query: Projector | None,
    models: Mapping[str, OpenModel],
    notes: _Notes,
    known: float | None = None,
) -> KeyScaleFit | None:
    """Measure what the keys were divided by; `known` is what the checkpoint says of that."""
    if not lines:
        return None
    if query is None or len(models) < 2:
        needs = ["a query projector"] * (query is None) + [role for role in (STUDENT, TEACHER) if role not in models]
        fact = f"not compared: that needs {' and '.join(needs)}"
        notes.add("alignment", Verdict.UNVERIFIED, fact, remedy="Mend what stands above first.")
        return None
    fit = notes.attempt("alignment", lambda: fit_key_scale(lines, query, models[STUDENT], models[TEACHER]))
    if fit is not None:
        _note_fit(fit, known, notes)
    return fit


def _note_fit(fit: KeyScaleFit, known: float | None, notes: _Notes) -> None:
    scale = "none" if fit.key_scale is None else f"{fit.key_scale:.4g}"
    facts = [
        f"slope {fit.slope:.4g}, so key scale {scale}; R² {fit.r_squared:.4f}",
        f"{fit.pairs} pairs of weights in {fit.lines} {'line' if fit.lines == 1 else 'lines'}",
    ]
    if fit.zeros > 0.5:
        facts.append(f"{fit.zeros:.0%} of the weights are zero, as where chunks mask them (CLA)")
    if fit.is_good:
        facts.append("these weights are of these models and projectors")
        if known is None:
            notes.add("alignment", Verdict.OK, *facts, remedy=f"Probe with --key-scale {scale}.")
        elif math.isclose(known * fit.slope, 1, abs_tol=_SCALE_TOLERANCE):
            notes.add("alignment", Verdict.OK, *facts)
        else:
            facts.append(f"the checkpoint says key scale {known:.4g}")
            remedy = "Were the weights exported with the standard deviation of their own batch?"
            notes.add("alignment", Verdict.UNVERIFIED, *facts, remedy=remedy)
    elif fit.r_squared < GOOD_FIT and fit.residual < _ROUNDING:
        facts.append("the weights of a row hardly differ: what the line leaves is no more than rounding")
        notes.add("alignment", Verdict.UNVERIFIED, *facts, remedy="Uniform attention tells neither scale nor models.")
    else:
        facts.append("a poor fit: these weights come from something else")
        remedy = "Another teacher or epoch, masked attention (CLA), or no attention at all (CLP)? Compare the runs."
        notes.add("alignment", Verdict.PROBLEM, *facts, remedy=remedy)


# Hashes


def table_sha256(table: EmbeddingTable) -> str:
    """SHA-256 over all stored rows as float32, read in blocks: the same for every exact storage type."""
    digest = hashlib.sha256()
    for begin in range(0, table.rows, _HASHED_ROWS):
        ids = np.arange(begin, min(begin + _HASHED_ROWS, table.rows), dtype=np.int64)
        digest.update(table.stored.gather(ids).astype("<f4", copy=False).tobytes())
    return digest.hexdigest()


def _hash(tables: Mapping[str, EmbeddingTable], notes: _Notes) -> dict[str, str]:
    hashes = {role: notes.attempt(role, partial(table_sha256, table)) for role, table in tables.items()}
    return {role: sha256 for role, sha256 in hashes.items() if sha256 is not None}
