"""What an alignment probe found: counts per sentence and method, from which every figure and interval follows."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from probe.pair_rows import PHENOMENA
from probe.scores import COUNTS, METRICS, metrics
from probe.stats import CONFIDENCE, FEW, RESAMPLES, SEED, bootstrap_interval
from probe.triples import KINDS, Mark, TripleScores, score_triples

if TYPE_CHECKING:
    from rich.console import RenderableType

SCHEMA = 1

BESIDE = ("lexical", "diagonal", "bigram")
"""What top-1 by phenomenon is shown beside."""

NOTES = {
    "cma": "this checkpoint's attention",
    "cla mask": "the same within shared chunks alone, as CLA trains it",
    "cma ×0.8": "the same with a key scale 0.8 times as large",
    "cma ×1.25": "the same with a key scale 1.25 times as large",
    "random": "untrained query projector, three seeds, as sharp as cma",
    "uniform": "the same weight everywhere",
    "diagonal": "position alone",
    "lexical": "same surface form, ties split",
    "overlap": "tokens that share a byte; gold was proposed from it",
    "chunk": "tokens between shared boundaries",
    "gold": "the sure links themselves",
    "bigram": "ceiling of top-1 and mass for functions of query and key",
    "target-only": "the same, seeing the target half alone",
}


@dataclass(frozen=True)
class Intervals:
    """Figures with their bounds, method × metric; `difference` is the first method minus each."""

    value: Float[np.ndarray, "methods metrics"]
    low: Float[np.ndarray, "methods metrics"]
    high: Float[np.ndarray, "methods metrics"]
    difference: Float[np.ndarray, "methods metrics"]
    difference_low: Float[np.ndarray, "methods metrics"]
    difference_high: Float[np.ndarray, "methods metrics"]


@dataclass(frozen=True)
class Phenomenon:
    """What was found on the sentences that have one tag; a sentence may have several."""

    name: str
    sentences: int
    rows: int
    values: Float[np.ndarray, "methods metrics"]
    low: float
    high: float
    """95 % bounds of the first method's top-1; NaN of few sentences."""


@dataclass(frozen=True)
class ProbeReport:
    """Counts per sentence × method and where they come from. The first method is the one that is probed."""

    checkpoint: str
    method: str
    criterion: str
    steps: int | None
    pair: str
    key_scale: float
    key_scale_is_estimate: bool
    gold: str
    gold_sha256: str
    sentences: tuple[str, ...]
    other_sentences: int
    phenomena: tuple[tuple[str, ...], ...]
    """What the annotators tagged each sentence with."""
    triples: tuple[Mark | None, ...]
    """Which minimal triple each sentence belongs to."""
    methods: tuple[str, ...]
    counts: Float[np.ndarray, "sentences methods counts"]

    @cached_property
    def intervals(self) -> Intervals:
        """All figures, their differences to the first method, and 95 % bounds of both over sentences."""
        sentences, methods, counts = self.counts.shape

        def statistics(summed: Float[np.ndarray, "*batch flat"]) -> Float[np.ndarray, "*batch figures"]:
            values = metrics(summed.reshape(*summed.shape[:-1], methods, counts))
            both = np.stack([values, values[..., :1, :] - values], axis=-3)
            return both.reshape(*summed.shape[:-1], -1)

        flat = self.counts.reshape(sentences, -1)
        shape = (2, methods, len(METRICS))
        value, difference = statistics(flat.sum(axis=0)).reshape(shape)
        low, high = (bound.reshape(shape) for bound in bootstrap_interval(flat, statistics))
        return Intervals(value, low[0], high[0], difference, low[1], high[1])

    @property
    def rows(self) -> int:
        """Student targets with a sure link: what the row metrics are means over."""
        return int(self.counts[:, 0, COUNTS.index("rows")].sum())

    @cached_property
    def by_phenomenon(self) -> tuple["Phenomenon", ...]:
        """Sentences with each tag, in the order of the closed list."""
        found: list[Phenomenon] = []
        for name in PHENOMENA:
            chosen = self.counts[[name in tags for tags in self.phenomena]]
            rows = int(chosen[:, 0, COUNTS.index("rows")].sum())
            if not rows:
                continue
            low = high = np.full(1, np.nan)
            if len(chosen) >= FEW:
                low, high = bootstrap_interval(chosen[:, 0], lambda summed: metrics(summed)[..., :1])
            values = metrics(chosen.sum(axis=0))
            found.append(Phenomenon(name, len(chosen), rows, values, float(low[0]), float(high[0])))
        return tuple(found)

    @cached_property
    def by_triple(self) -> list[TripleScores]:
        """The probed method on minimal triples, and what it is shown beside; empty where there are none."""
        shown = [self.methods[0], *(name for name in BESIDE if name in self.methods)]
        places = [self.methods.index(name) for name in shown]
        return score_triples(self.triples, shown, self.counts[:, places])

    def to_json(self) -> str:
        """Everything, as JSON: figures with bounds, and the counts of every sentence."""
        found = self.intervals
        document: dict[str, Any] = {
            "schema": SCHEMA,
            **{
                k: getattr(self, k)
                for k in ("checkpoint", "method", "criterion", "steps", "pair", "gold", "gold_sha256")
            },
            "scales": {"key": self.key_scale, "key is estimate": self.key_scale_is_estimate},
            "sentences": len(self.sentences),
            "other_sentences": self.other_sentences,
            "rows": self.rows,
            "bootstrap": {"unit": "sentence", "resamples": RESAMPLES, "seed": SEED, "confidence": CONFIDENCE},
            "figures": {
                name: {
                    metric: {
                        "value": _number(found.value[m, k]),
                        "interval": [_number(found.low[m, k]), _number(found.high[m, k])],
                        f"{self.methods[0]} minus this": _number(found.difference[m, k]),
                        "difference interval": [
                            _number(found.difference_low[m, k]),
                            _number(found.difference_high[m, k]),
                        ],
                    }
                    for k, metric in enumerate(METRICS)
                }
                for m, name in enumerate(self.methods)
            },
            "phenomena": {
                one.name: {
                    "sentences": one.sentences,
                    "rows": one.rows,
                    f"{self.methods[0]} top-1 interval": [_number(one.low), _number(one.high)],
                    "figures": {
                        method: {metric: _number(value) for metric, value in zip(METRICS, of_method, strict=True)}
                        for method, of_method in zip(self.methods, one.values, strict=True)
                    },
                }
                for one in self.by_phenomenon
            },
            "triples": {
                one.method: {
                    "triples": one.triples,
                    "top-1": dict(zip(KINDS, one.top_1.tolist(), strict=True)),
                    "other minus same": [_number(value) for value in one.steps[0]],
                    "synonym minus other": [_number(value) for value in one.steps[1]],
                }
                for one in self.by_triple
            },
            "counts": {"columns": COUNTS, "sentences": dict(zip(self.sentences, self.counts.tolist(), strict=True))},
        }
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"

    def heading(self) -> list[str]:
        """What was probed, on which rows, at which scale."""
        steps = f", {self.steps} steps" if self.steps is not None else ""
        others = f" ({self.other_sentences} more are for other tokenizers)" if self.other_sentences else ""
        plural = "s" if len(self.sentences) > 1 else ""
        estimate = ", estimated" if self.key_scale_is_estimate else ""
        return [
            f"{self.checkpoint}: {self.method}, {self.criterion}{steps}",
            f"{self.pair}, key scale {self.key_scale:.4g}{estimate}",
            f"{self.gold}: {len(self.sentences)} sentence{plural}{others}",
            f"{self.rows} student tokens with a sure link are the rows of every mean",
        ]

    def reading(self) -> list[str]:
        """How to read the table, and where to look next."""
        return [
            "top-1, MRR and AUC do not depend on temperature; mass and H (entropy) do.",
            "F1 and AER are of hard links (argmax, ties all linked). EOS is scored apart.",
            *(f"{name:<12}{NOTES[name]}" for name in self.methods if name in NOTES),
            "",
            f"Intervals: {RESAMPLES} resamples of sentences, seed {SEED}. One checkpoint is not a method.",
            f"A text may show several phenomena; those of fewer than {FEW} texts have no bounds.",
            'Next: probe-heatmap "any text" --checkpoint NAME --out map.pdf draws a sentence,',
            "--json FILE keeps all figures with intervals, probe-models lists checkpoints.",
        ]

    def table(self) -> "RenderableType":
        """The table that `probe-align` prints, 80 columns wide."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
        table.add_column("method")
        for header in ("top-1\n%", "MRR\n0–1", "AUC\n0–1", "mass\n%", "H\n0–1", "F1\n%", "AER\n%", "EOS\n%"):
            table.add_column(header, justify="right")
        table.add_column(f"{self.methods[0]} − it, top-1\npoints [95 %]", justify="right")
        found = self.intervals
        for m, name in enumerate(self.methods):
            values = dict(zip(METRICS, found.value[m], strict=True))
            difference = (
                ""
                if m == 0
                else _signed(found.difference[m, 0], found.difference_low[m, 0], found.difference_high[m, 0])
            )
            table.add_row(
                name,
                f"{100 * values['top-1']:.1f}",
                _short(values["MRR"]),
                _short(values["AUC"]),
                f"{100 * values['gold mass']:.0f}",
                _short(values["entropy"]),
                f"{100 * values['F1']:.0f}",
                f"{100 * values['AER']:.0f}",
                f"{100 * values['EOS top-1']:.0f}",
                difference,
                style="bold" if m == 0 else None,
            )
        return table

    def phenomena_table(self) -> "RenderableType":
        """Top-1 on the sentences with each tag, 80 columns wide."""
        from rich import box
        from rich.table import Table

        beside = [name for name in BESIDE if name in self.methods]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
        table.add_column("phenomenon", no_wrap=True)
        for header in ("texts", "tokens", f"{self.methods[0]} top-1\n% [95 %]", *beside):
            table.add_column(header, justify="right", no_wrap=True)
        for one in self.by_phenomenon:
            top_1 = dict(zip(self.methods, 100 * one.values[:, 0], strict=True))
            bounds = "" if np.isnan(one.low) else f" [{100 * one.low:.1f}, {100 * one.high:.1f}]"
            table.add_row(
                one.name,
                str(one.sentences),
                str(one.rows),
                f"{top_1[self.methods[0]]:.1f}{bounds}",
                *(f"{top_1[name]:.1f}" for name in beside),
            )
        return table


def _short(value: float) -> str:
    return f"{value:.2f}".removeprefix("0")


def _signed(value: float, low: float, high: float) -> str:
    bounds = "[one sentence]" if np.isnan(low) else f"[{100 * low:+.1f}, {100 * high:+.1f}]"
    return f"{100 * value:+.1f} {bounds}"


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
