"""A model as far as it can be opened: its table and tokenizer, whether it fits the projectors, and its EOS."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from probe.adopt import PROMPT
from probe.doctor.findings import Notes, Verdict, fact_of
from probe.doctor.model_files import count_pieces, type_and_dtype
from probe.embeddings import EmbeddingTable, open_table
from probe.errors import CheckpointError, ProbeError, Problem
from probe.models import OpenModel, tokenizer_of
from probe.sources import resolve
from probe.table_sources import Download
from probe.tokenizer import Tokenizer

_OWN_TOKENIZER = "Put the model's own tokenizer beside it."


@dataclass(frozen=True)
class Seen:
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


def see(source: str, relative_to: Path | None = None, download: Download | None = None) -> Seen:
    """Open what there is of a model.

    Raises:
        ProbeError: not even its embedding table can be read.
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
        got = f"{pieces} pieces for {table.rows} rows"
        problems = (Problem(source, "a row for each piece", got, _OWN_TOKENIZER),)
    beside = f"tokenizer of {pieces} pieces" if pieces is not None else "no tokenizer that can be read"
    facts = (f"{kind}: {table.rows} rows × {table.width}, {dtype}; {beside}",)
    return Seen(source, facts, table, None if problems else tokenizer, problems)


def note_model(role: str, verdict: Verdict, seen: Seen, said: Sequence[str], width: int | None, notes: Notes) -> None:
    """Note who says that this is the model, and whether it has the width that the projectors were made for."""
    if width is not None and width != seen.table.width:
        fact = f"its width is {seen.table.width}; the projectors were made for {width}"
        remedy = f"Name the {role} that the projectors were trained with, with --{role}."
        notes.add(role, Verdict.PROBLEM, *said, *seen.facts, fact, remedy=remedy)
    else:
        doubt = "; nothing says these are the same weights" if verdict is Verdict.UNVERIFIED else ""
        fits = [f"width {width} fits the projectors{doubt}"] if width is not None else []
        wrong = [fact_of(problem) for problem in seen.problems]
        remedy = seen.problems[0].remedy if seen.problems else ""
        notes.add(role, Verdict.PROBLEM if wrong else verdict, *said, *seen.facts, *fits, *wrong, remedy=remedy)


def open_seen(role: str, seen: Seen, notes: Notes) -> OpenModel | None:
    """The model as probing opens it, if it can."""
    model = notes.attempt(role, seen.open)
    if model is not None and model.eos_id >= model.table.rows:
        fact = f"its end of sequence has id {model.eos_id}, past the table's {model.table.rows} rows"
        notes.add(role, Verdict.PROBLEM, fact, remedy=_OWN_TOKENIZER)
        return None
    return model


def examine_ends(models: Mapping[str, OpenModel], notes: Notes) -> None:
    """Which token ends a response, and whether that is the tokenizer's own."""
    facts: list[str] = []
    for role, model in models.items():
        own = _named_end(model.tokenizer)
        forced = f", which DSKD forces for Qwen; its tokenizer names {own}" if own != model.eos_id else ""
        facts.append(f"{role}: id {model.eos_id}{forced}")
    if facts:
        notes.add("EOS", Verdict.OK, *facts)


def _named_end(tokenizer: Tokenizer) -> int | None:
    try:
        return tokenizer.eos_id
    except CheckpointError:  # for Qwen nobody needed it
        return None
