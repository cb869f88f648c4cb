"""What a functional probe found: sums per sentence and attention, from which every figure and interval follows."""

import json
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from probe.output.documents import parsed, without_nan
from probe.stats import Estimate, estimates, resampling


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How t2s is refitted, the same for every attention: Adam for a fixed time, its rate falling to zero."""

    epochs: int = 3
    most_sentences: int = 500
    """Drawn of those given, if there are more."""
    batch_sentences: int = 8
    learning_rate: float = 1e-3
    sampled: int = 4096
    """Tokens of the vocabulary that are drawn for each step beside the sentences' own."""
    seed: int = 0


SCHEMA = 2

FITS = ("as trained", "refitted")
"""W_t2s: the checkpoint's; fitted to the attention on other sentences."""
SETS = ("linked", "elsewhere", "all")
"""Targets with a sure link; those of them all of whose linked tokens occur elsewhere too; all, end of sequence too."""
T2S_COUNTS = tuple(f"{of} {count}" for of in SETS for count in ("targets", "nats", "hits"))
S2T_COUNTS = tuple(f"{of} {count}" for of in SETS[:2] for count in ("targets", "nats"))


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean of one attention, NaN where it was not taken, and what it is above that of another."""

    value: float
    difference: Estimate


@dataclass(frozen=True)
class FunctionalReport:
    """Sums per sentence and method, and where they come from. The first method is the trained attention."""

    checkpoint: str
    pair: str
    scales: tuple[float, float, float]
    """Of keys, hidden states and target embeddings."""
    estimated_scales: tuple[str, ...]
    gold: str
    gold_sha256: str
    fit: FitSettings
    refit_on: str
    """File of the sentences that t2s is refitted on; empty if it is not."""
    refit_sha256: str
    refit_sentences: int
    judged_sentences: int
    """Sentences of that file that were left out because they are gold sentences."""
    untrained_seed: int
    no_s2t: str
    """Why there are no figures of s2t; empty where there are."""
    left_out: tuple[str, ...]
    """Attentions that could not be made, and why."""
    sentences: tuple[str, ...]
    methods: tuple[str, ...]
    t2s: Float[np.ndarray, "sentences methods fits t2s_counts"]
    """See `FITS` and `T2S_COUNTS`; NaN where nothing was refitted."""
    s2t: Float[np.ndarray, "sentences methods s2t_counts"]
    """See `S2T_COUNTS`; NaN where there is none."""
    seen: Float[np.ndarray, " methods"]
    """Cross-entropy in nats over the sentences refitted on, as it was in the last epoch; NaN where nothing was."""

    def __repr__(self) -> str:
        """What was probed on what, in a line."""
        found = f"{len(self.sentences)} sentences, {', '.join(self.methods)}"
        return f"<FunctionalReport of {self.checkpoint} ({self.pair}): {found}>"

    def cross_entropy(self, fit: str, of: str = SETS[0], against: str | None = None) -> tuple[Mean, ...]:
        """Mean t2s cross-entropy of each method in nats, and its difference to the method ``against``, or the first."""
        return self._t2s(fit, of, "nats", against)

    def accuracy(self, fit: str, of: str = SETS[0]) -> tuple[Mean, ...]:
        """How often the t2s logits' argmax is the target, and the difference."""
        return self._t2s(fit, of, "hits", None)

    def divergence(self, of: str = SETS[0], against: str | None = None) -> tuple[Mean, ...]:
        """Mean KL(teacher ‖ s2t) of each method in nats, and the difference."""
        places = [S2T_COUNTS.index(f"{of} {count}") for count in ("nats", "targets")]
        return self._figures(self.s2t[..., places], against)

    def targets(self, of: str = SETS[0]) -> int:
        """How many student targets a mean is taken over."""
        return int(self.t2s[:, 0, 0, T2S_COUNTS.index(f"{of} targets")].sum())

    @cached_property
    def moved_sentences(self) -> int:
        """Sentences in which a linked token occurs elsewhere too."""
        return int((self.t2s[:, 0, 0, T2S_COUNTS.index("elsewhere targets")] > 0).sum())

    def _t2s(self, fit: str, of: str, count: str, against: str | None) -> tuple[Mean, ...]:
        places = [T2S_COUNTS.index(f"{of} {name}") for name in (count, "targets")]
        return self._figures(self.t2s[:, :, FITS.index(fit)][..., places], against)

    def _figures(self, sums: Float[np.ndarray, "sentences methods 2"], against: str | None) -> tuple[Mean, ...]:
        base = 0 if against is None else self.methods.index(against)

        def means(summed: Float[np.ndarray, "*batch methods 2"]) -> Float[np.ndarray, "*batch 2 methods"]:
            with np.errstate(divide="ignore", invalid="ignore"):
                of_all = summed[..., 0] / summed[..., 1]
            return np.stack([of_all, of_all - of_all[..., base : base + 1]], axis=-2)

        found = estimates(sums, means, least=2)
        return tuple(Mean(*one) for one in zip(found.value[0].tolist(), found[1].each(), strict=True))

    def to_json(self) -> str:
        """Everything, as JSON: the sums of every sentence, and the figures with their 95 % CI that follow from them."""
        document: dict[str, Any] = {"schema": SCHEMA}
        document |= {field.name: getattr(self, field.name) for field in fields(self)}
        document["fit"] = asdict(self.fit)
        document |= {name: getattr(self, name).tolist() for name in ("t2s", "s2t", "seen")}
        document["columns"] = {"fits": FITS, "t2s": T2S_COUNTS, "s2t": S2T_COUNTS}
        document["bootstrap"] = resampling()
        document["figures"] = {
            **{
                f"t2s {name}, {of} targets, {fit}": self._named(taken(fit, of))
                for fit in (FITS if self.refit_on else FITS[:1])
                for of in SETS
                for name, taken in (("cross-entropy", self.cross_entropy), ("accuracy", self.accuracy))
            },
            **(
                {} if self.no_s2t else {f"KL(teacher ‖ s2t), {of}": self._named(self.divergence(of)) for of in SETS[:2]}
            ),
        }
        return json.dumps(without_nan(document), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def _named(self, figures: tuple[Mean, ...]) -> dict[str, Any]:
        return {
            name: {
                "value": one.value,
                f"minus {self.methods[0]}": one.difference.value,
                "difference 95 % CI": [one.difference.low, one.difference.high],
            }
            for name, one in zip(self.methods, figures, strict=True)
        }

    @classmethod
    def from_json(cls, text: str, where: str = "report") -> "FunctionalReport":
        """Read what `to_json` wrote; ``where`` names the file in messages.

        Raises:
            ReportError: it is no such report, or one of another schema version.
        """

        def build(document: dict[str, Any]) -> "FunctionalReport":
            found: dict[str, Any] = {field.name: document[field.name] for field in fields(cls)}
            found |= {name: np.array(found[name], dtype=np.float64) for name in ("t2s", "s2t", "seen")}
            found["fit"] = FitSettings(**found["fit"])
            values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}
            return cls(**values)

        return parsed(text, where, "a functional report", SCHEMA, build)
