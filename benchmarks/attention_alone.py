"""What a query projector learns from two embedding tables alone, by objective, by texts and by structure.

    python benchmarks/attention_alone.py --out DIR [--texts FILE] [--student SOURCE] [--teacher SOURCE] [CONDITION …]

Each condition is trained with five seeds, which are paired: a seed is that of the sampled texts, of their order and of
the first weights. What is there is not trained again, so several of these commands can share a directory, each with
conditions of its own. Then each is probed on the gold file; figures are top-1 in percent, as they are and decoded by
``grid``, and differences to ``overlap`` have a 95 % CI over seeds and sentences. ``--curve`` probes one training at
every 50th step instead, and trainings on fewer sampled texts.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

import probe
from probe.checkpoints.open_model import named_tokenizer
from probe.checkpoints.opened import OpenCheckpoint
from probe.chunks import one_to_one
from probe.gold.rows import GoldRow
from probe.output.tables import percent, points, with_interval
from probe.scoring.scores import top_1
from probe.scoring.truth import Truth
from probe.stats import difference_over_seeds
from probe.training.attention.run import train_attention
from probe.training.attention.sampling import HeldOut, held_out
from probe.training.attention_recipe import AttentionRecipe
from probe.training.recipe import read_any_recipe
from probe.training.vocabulary_map import Vocabulary

SEEDS = (10, 20, 30, 40, 50)
SHARE = 0.1
"""Of both vocabularies, held out of all training texts in one condition."""
NOTHING = HeldOut(frozenset(), frozenset())
FIRST = "overlap"
CONDITIONS: Mapping[str, Sequence[str]] = {
    FIRST: (),
    "forward-sum": ("attention.objective=forward-sum",),
    "texts-alone": ("texts.sampled=0",),
    "sampled-alone": ("texts.share=0",),
    "held-out": ("texts.share=0", f"texts.held_out={SHARE}"),
    "not-whitened": ("attention.whiten=false",),
    "deeper": ("attention.structure=2s-4t-relu-2t",),
}
EVERY, FEWER = 50, (100, 300, 1000, 2500)
"""Steps between the checkpoints of the curve; numbers of sampled texts of other trainings."""
KINDS = ("all tokens", "in another chunk", "tokens that were held out, or whose partners were", "end of sequence")


class Probed(NamedTuple):
    """Of a checkpoint, by sentence and kind: hits, hits of the decoded map, and tokens."""

    counts: np.ndarray
    seconds: float
    """Of all steps; texts are sampled and cut before them."""


def recipe_of(arguments: argparse.Namespace, condition: str, seed: int, *more: str) -> AttentionRecipe:
    """The recipe of one training."""
    settings = [f"student.source={arguments.student}", f"teacher.source={arguments.teacher}", "training.threads=1"]
    settings += [f"name={condition}-{seed}", f"seed={seed}", f"texts.source={arguments.texts}"]
    recipe = read_any_recipe("attention", [*settings, *CONDITIONS[condition], *more])
    if not isinstance(recipe, AttentionRecipe):
        raise TypeError(type(recipe))
    return recipe


def probed(run: Path, held: HeldOut, place: str = "checkpoint") -> Probed:
    """Hits of a checkpoint of a run on the gold rows of its tokenizers."""
    opened = probe.load(run / place)
    rows = probe.fitting_rows(opened, probe.read_pairs("alignments/gold.tsv"))
    counts = np.stack([_counts(opened, row, held) for row in rows])
    seconds = sum(json.loads(line)["seconds"] for line in (run / "log.jsonl").read_text().splitlines())
    return Probed(counts, seconds)


def _counts(opened: OpenCheckpoint, row: GoldRow, held: HeldOut) -> np.ndarray:
    map_, truth = opened.map(row), Truth(row)
    decoded = probe.grid(map_)
    hits = [top_1(one.weights[truth.linked], truth.sure[truth.linked]) for one in (map_, decoded)]
    alike = {i for i, _ in one_to_one(row.student, row.teacher)}
    linked = np.arange(len(truth.linked))[truth.linked]
    new = [
        np.isin(side.tokenizer.ids(text.pieces), list(ids))
        for side, text, ids in (
            (opened.student, row.student, held.student),
            (opened.teacher, row.teacher, held.teacher),
        )
    ]
    partners = {i: [j for k, j in row.sure if k == i] for i in linked.tolist()}
    unseen = [i for i, some in partners.items() if new[0][i] or new[1][some].all()]
    kinds = [np.full(len(linked), True), ~np.isin(linked, list(alike)), np.isin(linked, unseen)]
    found = [[float(hit[kind].sum()) for hit in hits] + [float(kind.sum())] for kind in kinds]
    at_end = float(map_.weights[-1].argmax() == map_.weights.shape[1] - 1)
    return np.array([*found, [at_end, 1.0, 1.0]])


def shares(summed: np.ndarray, kinds: int) -> np.ndarray:
    """Top-1 of each kind, as it is and decoded."""
    by_kind = summed.reshape(*summed.shape[:-1], kinds, 3)
    with np.errstate(invalid="ignore"):
        found = by_kind[..., :2] / by_kind[..., 2:]
    return found.reshape(*summed.shape[:-1], 2 * kinds)


def report(found: Mapping[str, Sequence[Probed]]) -> None:
    """Print the figures of each condition, and its differences to the first."""
    statistic = partial(shares, kinds=len(KINDS))
    flat = {name: np.stack([one.counts.reshape(len(one.counts), -1) for one in seeds]) for name, seeds in found.items()}
    for name, counts in flat.items():
        by_seed = statistic(counts.sum(axis=1))
        seconds = [one.seconds for one in found[name]]
        print(f"{name}: {len(counts)} seeds, {min(seconds):.0f} to {max(seconds):.0f} s of steps")
        paired = FIRST in flat and name != FIRST and len(counts) == len(flat[FIRST])
        differences = difference_over_seeds(flat[FIRST], counts, statistic) if paired else None
        for n, (kind, form) in enumerate((kind, form) for kind in KINDS for form in ("", ", decoded")):
            values = by_seed[:, n]
            if np.isnan(values).any() or (kind == KINDS[-1] and form):
                continue
            less = "" if differences is None else f"; to {FIRST} {with_interval(differences.at(n), points)}"
            spread = f"{percent(float(values.min()))} to {percent(float(values.max()))}"
            print(f"  {kind}{form}: {percent(float(values.mean()))} ({spread}){less}")


def curve(arguments: argparse.Namespace) -> None:
    """Print top-1 by step and time of one training, and after all steps with fewer sampled texts."""
    run = arguments.out / "curve"
    recipe = recipe_of(arguments, FIRST, SEEDS[0], f"training.save_projectors_every={EVERY}")
    train_attention(recipe, run, print)
    log = [json.loads(line)["seconds"] for line in (run / "log.jsonl").read_text().splitlines()]
    print("steps, seconds of steps, top-1, decoded")
    for step in range(0, recipe.training.steps + 1, EVERY):
        place = "checkpoint" if step == recipe.training.steps else f"projectors/step-{step}"
        print(f"{step}, {sum(log[:step]):.0f}, {_both(probed(run, NOTHING, place))}")
    print("sampled texts, top-1, decoded")
    for texts in FEWER:
        run = arguments.out / f"sampled-{texts}"
        train_attention(recipe_of(arguments, FIRST, SEEDS[0], f"texts.sampled={texts}"), run, print)
        print(f"{texts}, {_both(probed(run, NOTHING))}")


def _both(one: Probed) -> str:
    hits, decoded, tokens = one.counts[:, 0].sum(axis=0)
    return f"{percent(float(hits / tokens))}, {percent(float(decoded / tokens))}"


def main() -> None:
    """Train what is missing, then print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("conditions", nargs="*", help=f"of {', '.join(CONDITIONS)}; default: all")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--texts", default="docstrings")
    parser.add_argument("--student", default="cache:smollm2-gemma3/student")
    parser.add_argument("--teacher", default="cache:smollm2-gemma3/teacher")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many")
    parser.add_argument("--curve", action="store_true", help="one training by step and by number of texts")
    arguments = parser.parse_args()
    if arguments.curve:
        curve(arguments)
        return
    vocabularies = [Vocabulary.of(named_tokenizer(one)) for one in (arguments.student, arguments.teacher)]
    found: dict[str, list[Probed]] = {}
    for condition in arguments.conditions or CONDITIONS:
        found[condition] = []
        for seed in SEEDS[: arguments.seeds]:
            run = arguments.out / f"{condition}-{seed}"
            train_attention(recipe_of(arguments, condition, seed), run, print)
            held = held_out((vocabularies[0], vocabularies[1]), SHARE, seed)
            found[condition].append(probed(run, held))
            print(
                condition, seed, percent(float(shares(found[condition][-1].counts.sum(axis=0).ravel(), len(KINDS))[0]))
            )
    report(found)


if __name__ == "__main__":
    main()
