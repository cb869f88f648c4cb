"""What is damaged, and which commands read it: a place with tiny inputs, and families of cases on it."""

import json
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from directories import TEXTS, checkpoint, dskd_run, projector_config, save_teacher
from fuzz.mutations import BINARY, JSON, RAW, TEXT, VALUES, Mutation
from safetensors.numpy import load, save
from trainer_runs import content, write_recipe, write_rows

from probe.checkpoints.checkpoint import save_checkpoint
from probe.chunks import content_mask
from probe.cli import align, figures, heatmap, keyquery, models, pairs, reproduce, train
from probe.cli import eval as evaluate
from probe.cli.run import run
from probe.gold.pairs import write_pairs
from probe.gold.rows import GoldRow
from probe.models.tokenizer import Tokenizer

Command = Callable[[], int]
MAINS: dict[str, Callable[[Sequence[str]], int]] = {
    **{"align": align.main, "eval": evaluate.main, "figures": figures.main, "heatmap": heatmap.main},
    **{"keyquery": keyquery.main, "models": models.main, "pairs": pairs.main, "reproduce": reproduce.main},
    "train": train.main,
}


@dataclass(frozen=True)
class Case:
    """One damaged input: where it is, what it becomes, and what reads it."""

    family: str
    name: str
    file: Path | None
    content: bytes
    command: Command


def build(place: Path) -> None:
    """Tiny inputs of every kind, all of them right."""
    save_checkpoint(checkpoint(place), place / "checkpoint")
    rows = [_row(text, f"r{n}", place) for n, text in enumerate(TEXTS[:3])]
    write_pairs(place / "gold.tsv", rows)
    base = place / "dskd"
    save_teacher(base)
    epoch = dskd_run(base)
    epoch.rename(place / "epoch")
    (place / "args.json").write_text((epoch.parent / "args.json").read_text())
    (place / "epoch" / "projector_config.json").write_text(projector_config())
    write_rows(place / "data", 6, dev=2)
    write_recipe(place / "recipe.toml", content(place))
    options = ["--checkpoint", str(place / "checkpoint"), "--pairs", str(place / "gold.tsv"), "--methods", "uniform"]
    (place / "saved").mkdir()
    (place / "maps").mkdir()
    assert align.main([*options, "--json", str(place / "saved/align.json"), "--save-maps", str(place / "maps")]) == 0
    (place / "saved/progress.json").write_bytes((place / "saved/align.json").read_bytes())
    for form, name in (("pharaoh", "gold.pharaoh"), ("naacl", "gold.naacl"), ("align-jsonl", "gold.jsonl")):
        assert pairs.main(["convert", str(place / "gold.tsv"), "--to", form, "--out", str(place / name)]) == 0


def _row(text: str, id_: str, place: Path) -> GoldRow:
    student, teacher = (Tokenizer.load(place / role).tokenize(text) for role in ("student", "teacher"))
    sure = zip(*(axis.tolist() for axis in content_mask(student, teacher).nonzero()), strict=True)
    return GoldRow(id_, "tiny~tiny-teacher", student, teacher, frozenset(sure), frozenset(), (), "")


# Commands on them


def _command(name: str, *arguments: object) -> Command:
    return lambda: MAINS[name]([str(argument) for argument in arguments])


def _called(read: Callable[[], object]) -> Command:
    """What a command does with an input before its long work, behind the boundary of all commands."""

    def body(_: object) -> None:
        read()

    return lambda: run(ArgumentParser("probe-fuzz"), body, [])


def _align(place: Path, *more: object) -> Command:
    options = ("--pairs", place / "gold.tsv", "--methods", "uniform", "--by", "method")
    return _command("align", *options, *(more or ("--checkpoint", place / "checkpoint")))


def _heatmap(place: Path, *more: object) -> Command:
    return _command(
        "heatmap", TEXTS[0], "--out", place / "out/a.html", *(more or ("--checkpoint", place / "checkpoint"))
    )


def _gold(place: Path, random: Random) -> tuple[str, Sequence[Mutation], Command]:
    gold = place / "gold.tsv"
    commands = (
        *(_command("pairs", "check", gold), _command("pairs", "stats", gold), _command("pairs", "agree", gold, gold)),
        *(_command("pairs", "convert", gold, "--to", "naacl", "--out", place / "out/a"), _align(place)),
    )
    return "gold.tsv", TEXT, random.choice(commands)


def _manifest(place: Path, random: Random) -> tuple[str, Sequence[Mutation], Command]:
    doctor = _command("models", "doctor", place / "checkpoint")
    return "checkpoint/probe.json", JSON, random.choice((_heatmap(place), doctor))


def _tensors(place: Path, random: Random) -> tuple[str, Sequence[Mutation], Command]:
    names = ("checkpoint/projectors.safetensors", "student/model.safetensors", "teacher/model.safetensors")
    return random.choice(names), (*BINARY, _dtype, _numbers), _heatmap(place)


def _dtype(raw: bytes, random: Random) -> bytes:
    """Tensors of another type or shape."""
    tensors = load(raw)
    name = random.choice(sorted(tensors))
    kind = random.choice((np.float16, np.float64, np.int64, np.bool_, np.uint8))
    other = tensors[name].astype(kind)
    return save(tensors | {name: random.choice((other, other[:1], other.ravel(), other[..., None].copy()))})


def _numbers(raw: bytes, random: Random) -> bytes:
    """Numbers that training does not leave."""
    tensors = {name: tensor.copy() for name, tensor in load(raw).items()}
    tensor = tensors[random.choice(sorted(tensors))]
    tensor.reshape(-1)[random.randrange(tensor.size)] = random.choice((np.nan, np.inf, -np.inf, 1e38, 0))
    return save(tensors)


def _tokenizer(place: Path, random: Random) -> tuple[str, Sequence[Mutation], Command]:
    names = ("tokenizer.json", "tokenizer_config.json", "config.json")
    role = random.choice(("student", "teacher"))
    new = _command(
        *("pairs", "new", place / "sentences.txt", "--out", place / "out/a.tsv"),
        *("--student", place / "student", "--teacher", place / "teacher"),
    )
    vocabulary = _called(lambda: _eos(place / role))
    return f"{role}/{random.choice(names)}", JSON, random.choice((_heatmap(place), new, vocabulary))


def _eos(directory: Path) -> object:
    tokenizer = Tokenizer.load(directory)
    return tokenizer.eos_id, tokenizer.encode_prompt("a"), tokenizer.vocabulary_sha256()


def _dskd(place: Path, random: Random) -> tuple[str, Sequence[Mutation], Command]:
    files: dict[str, Sequence[Mutation]] = {
        "args.json": JSON,
        "epoch/projector_config.json": JSON,
        "epoch/config.json": JSON,
        "epoch/projector.pt": (*BINARY, _torch, _torch, _torch),
    }
    name = random.choice(sorted(files))
    adopted = _heatmap(place, "--checkpoint", place / "epoch", "--key-scale", "0.5")
    return name, files[name], random.choice((adopted, _command("models", "doctor", place / "epoch")))


def _torch(raw: bytes, random: Random) -> bytes:
    """Another kind of tensor, or none."""
    from io import BytesIO

    state: dict[str, Any] = torch.load(BytesIO(raw), weights_only=True)
    name = random.choice(sorted(state))
    tensor = state[name].float()
    state[name] = random.choice(
        (
            *(
                tensor.to_sparse(),
                tensor.to(torch.complex64),
                tensor.long(),
                tensor.bool(),
                tensor[:1],
                tensor.double(),
            ),
            torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8),
            *(tensor * float("nan"), tensor * 1e38, tensor * 0, torch.empty(0), tensor.to("meta"), [1], "a", None),
        )
    )
    file = BytesIO()
    torch.save(state, file)
    return file.getvalue()


def _maps(place: Path, random: Random) -> tuple[str, Sequence[Mutation], Command]:
    npz = next((place / "maps").rglob("*.npz")).relative_to(place)
    name = random.choice((str(npz), str(npz), "gold.pharaoh", "gold.naacl", "gold.jsonl", "gold.pharaoh.student"))
    read = name.removesuffix(".student")
    form = {".pharaoh": "pharaoh", ".naacl": "naacl", ".jsonl": "align-jsonl"}.get(Path(read).suffix)
    kinds = BINARY if name.endswith(".npz") else JSON if name.endswith(".jsonl") else TEXT
    scored = _align(place, "--maps", place / read)
    if form is None:
        return name, kinds, scored
    options = ("--from", form, "--out", place / "out/a.tsv")
    onto = _command("pairs", "convert", place / read, *options, "--rows", place / "gold.tsv")
    alone = _command("pairs", "convert", place / read, *options, "--pair", "a~b")
    return name, kinds, random.choice((onto, onto, alone, alone, scored))


def _reports(place: Path, random: Random) -> tuple[str, Sequence[Mutation], Command]:
    name = random.choice(("saved/align.json", "saved/progress.json"))
    drawn = _called(lambda: _shown(place / name))
    return name, JSON, drawn


def _shown(path: Path) -> None:
    from probe.cli.run import new_console
    from probe.report.document import load_reports
    from probe.report.forms import to_csv, to_latex, to_markdown
    from probe.report.tables import SECTIONS

    reports = load_reports(path)
    for report in reports.values():
        new_console().print(SECTIONS["method"](report))
    for form in (to_csv, to_latex, to_markdown):
        form(reports)


def _recipes(place: Path, random: Random) -> tuple[str, Sequence[Mutation], Command]:
    from probe.training.recipe import read_recipe

    settings = [f"{random.choice(KEYS)}={_text(random)}"] if random.random() < 0.4 else []

    def read() -> object:
        return [one.digest() for one in read_recipe(str(place / "recipe.toml"), settings).runs()]

    return "recipe.toml", TEXT, _called(read)


KEYS = ("seed", "training.steps", "objective.method", "data.source", "a.b.c", "seeds", "training", "evaluation.seeds")


def _text(random: Random) -> str:
    value = random.choice((*VALUES, "9" * 6000, "[" * 6000))
    return value if isinstance(value, str) else json.dumps(value)


def _data(place: Path, random: Random) -> tuple[str, Sequence[Mutation], Command]:
    from probe.training.data.corpus import ColumnMap, read_corpus
    from probe.training.evaluation.questions import read_sets

    file = place / "data/train.jsonl"
    columns = random.choice((None, ColumnMap("prompt", None, "output"), ColumnMap("a", "b", "c")))
    reads = (
        lambda: read_corpus(str(file), "train", columns),
        lambda: [s.digest() for s in read_sets({"a": str(file)})],
    )
    return "data/train.jsonl", JSON, _called(random.choice(reads))


OPTIONS = (
    *("--pairs", "--checkpoint", "--student", "--teacher", "--key-scale", "--embedding-scale", "--maps", "--methods"),
    *("--by", "--json", "--row", "--out", "--window", "--venue", "--dpi", "--font", "--seed", "--base", "--texts"),
)


def _arguments(place: Path, random: Random) -> tuple[None, Sequence[Mutation], Command]:
    name = random.choice(sorted(MAINS))
    words: list[str] = []
    for _ in range(random.randrange(1, 5)):
        known = random.choice(
            (place / "gold.tsv", place / "checkpoint", place / "epoch", place / "out/a.html", "/dev/full")
        )
        words += [random.choice(OPTIONS)] if random.random() < 0.6 else []
        words += [random.choice((str(known), _text(random).replace("\0", "")[:200]))]
    first = {"pairs": ["check", "stats", "agree", "convert"], "models": ["list", "doctor"]}.get(name)
    # What fetches or trains for long is given nothing that it could do that with.
    words = words if name not in ("train", "reproduce", "eval") else [w for w in words if "checkpoint" not in w]
    return None, (), _command(name, *([random.choice(first)] if first else []), *words)


FAMILIES: dict[str, Callable[[Path, Random], tuple[str | None, Sequence[Mutation], Command]]] = {
    **{"gold": _gold, "manifest": _manifest, "tensors": _tensors, "tokenizer": _tokenizer, "dskd": _dskd},
    **{"maps": _maps, "reports": _reports, "recipes": _recipes, "data": _data, "arguments": _arguments},
}
assert RAW


def case(place: Path, seed: int, number: int) -> Case:
    """The case of a number, which depends on the seed and the number alone."""
    family = list(FAMILIES)[number % len(FAMILIES)]
    random = Random(f"{seed} {number}")
    name, mutations, command = FAMILIES[family](place, random)
    if name is None:
        return Case(family, "arguments", None, b"", command)
    mutation, raw = random.choice(mutations), (place / name).read_bytes()
    try:
        content_ = mutation(raw, random)
    except ValueError:  # a type that this mutation cannot be made of
        content_ = raw[: len(raw) // 2]
    return Case(family, f"{name}: {mutation.__name__.strip('_')}", place / name, content_, command)
