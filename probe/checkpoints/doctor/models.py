"""Examine a model: its table and tokenizer, whether it fits the projectors, and its end of sequence (EOS)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probe.checkpoints.doctor.findings import Notes, Verdict, fact_of
from probe.checkpoints.dskd import PROMPT
from probe.checkpoints.open_model import OpenModel, tokenizer_of
from probe.errors import CheckpointError, ProbeError, Problem
from probe.models.embeddings import EmbeddingTable, open_table
from probe.models.sources import resolve
from probe.models.table_files import damaged, find_table, read_header
from probe.models.table_sources import ADAPTER, Download, Source, base_model, find_source, read_json, weight_map
from probe.models.tokenizer import Tokenizer


def hash_all(tables: Mapping[str, EmbeddingTable], notes: Notes) -> dict[str, str]:
    """SHA-256 of all rows of the tables that can be read, by role."""
    found = {role: notes.attempt(role, table.identity) for role, table in tables.items()}
    return {role: identity.sha256 for role, identity in found.items() if identity is not None}


_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def dtype_of(entry: Mapping[str, Any]) -> str:
    """The type of a tensor, by its entry in the header of a safetensors file."""
    return _DTYPES.get(entry["dtype"], str(entry["dtype"]))


def type_and_dtype(found: Path | str, download: Download | None) -> tuple[str, str]:
    """Model type, and the type that the embedding table is stored in, without reading it."""
    if Path(found).suffix == ".gguf":
        return "GGUF", "converted to float32"
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
        return kind, dtype_of(header[find_table(header, file)])
    named = config.get("dtype") or config.get("torch_dtype")
    return kind, f"{named} by config.json" if named else "dtype not named"


def _weights_file(files: Source) -> Path | None:
    """The file that holds the embedding table."""
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (whole := files.fetch(name)) is not None:
            return whole
        if (index := files.fetch(f"{name}.index.json")) is not None:
            shards = weight_map(index)
            return files.fetch(shards[find_table(shards, index)])
    return None


def count_pieces(file: Path) -> int:
    """The number of ids of a ``tokenizer.json``, counted in the file, because the library needs seconds to open it.

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
        got = f"no key {error}" if isinstance(error, KeyError) else str(error)
        raise damaged(file, "a tokenizer with a vocabulary", got) from error


_OWN_TOKENIZER = "Put the tokenizer of this model into its directory."


@dataclass(frozen=True)
class Seen:
    """A model, as far as it could be opened."""

    source: str
    facts: tuple[str, ...]
    table: EmbeddingTable
    tokenizer: Tokenizer | None
    problems: tuple[Problem, ...] = ()

    def open(self) -> OpenModel | None:
        """The model as probing opens it; None without a tokenizer."""
        if self.tokenizer is None:
            return None
        prompt_end, eos = self.tokenizer.encode(PROMPT)[-1], self.tokenizer.dskd_eos_id
        return OpenModel(self.source, self.table, self.tokenizer, prompt_end, eos)


def see(source: str, relative_to: Path | None = None, download: Download | None = None) -> Seen:
    """Open as much of a model as possible.

    Raises:
        ProbeError: its embedding table cannot be read.
    """
    found = resolve(source, relative_to or Path.cwd())
    table = open_table(found, download=download)
    kind, dtype = type_and_dtype(found, download)
    problems: tuple[Problem, ...] = ()
    tokenizer, pieces = None, None
    try:
        tokenizer = tokenizer_of(found)
        pieces = count_pieces(tokenizer.path)
    except ProbeError as error:
        problems = error.problems
    if pieces is not None and pieces > table.rows:
        got = f"a vocabulary of {pieces} for {table.rows} rows"
        problems = (Problem(source, "a row for each entry of the vocabulary", got, _OWN_TOKENIZER),)
    beside = f"tokenizer with a vocabulary of {pieces}" if pieces is not None else "no tokenizer that can be read"
    facts = (f"{kind}: {table.rows} rows × {table.width}, {dtype}; {beside}",)
    return Seen(source, facts, table, None if problems else tokenizer, problems)


def note_model(role: str, verdict: Verdict, seen: Seen, said: Sequence[str], width: int | None, notes: Notes) -> None:
    """Note who named the model, and whether it has the width of the projectors."""
    if width is not None and width != seen.table.width:
        fact = f"its width is {seen.table.width}; the projectors were made for {width}"
        remedy = f"Name the {role} with which the projectors were trained: --{role}."
        notes.add(role, Verdict.PROBLEM, *said, *seen.facts, fact, remedy=remedy)
    else:
        doubt = ", but its weights may be others" if verdict is Verdict.UNVERIFIED else ""
        fits = [f"width {width} fits the projectors{doubt}"] if width is not None else []
        wrong = [fact_of(problem) for problem in seen.problems]
        remedy = seen.problems[0].remedy if seen.problems else ""
        notes.add(role, Verdict.PROBLEM if wrong else verdict, *said, *seen.facts, *fits, *wrong, remedy=remedy)


def open_seen(role: str, seen: Seen, notes: Notes) -> OpenModel | None:
    """The model as probing opens it, if that is possible."""
    model = notes.attempt(role, seen.open)
    if model is not None and model.eos_id >= model.table.rows:
        fact = f"its end of sequence has id {model.eos_id}, but its table has only {model.table.rows} rows"
        notes.add(role, Verdict.PROBLEM, fact, remedy=_OWN_TOKENIZER)
        return None
    return model


def examine_ends(models: Mapping[str, OpenModel], notes: Notes) -> None:
    """Note which token ends a response, and whether the tokenizer names the same."""
    facts: list[str] = []
    for role, model in models.items():
        own = _named_end(model.tokenizer)
        forced = f", which DSKD uses for all Qwen models; its tokenizer names {own}" if own != model.eos_id else ""
        facts.append(f"{role}: id {model.eos_id}{forced}")
    if facts:
        notes.add("EOS", Verdict.OK, *facts)


def _named_end(tokenizer: Tokenizer) -> int | None:
    try:
        return tokenizer.eos_id
    except CheckpointError:  # not needed for Qwen
        return None
