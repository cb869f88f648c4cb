"""What each method is and needs, a line a method; and the numbers of an objective, by default the published run's."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from probe.errors import Problem, TrainingError
from probe.projectors import QUERY, S2T, T2S


@dataclass(frozen=True, slots=True)
class Needs:
    """What a method needs. Functions are named as ``module.function`` of this folder; see `named`."""

    loss: str
    """Takes a `probe.training.criteria.step.Step`, returns its `Terms`."""
    projectors: tuple[str, ...] = ()
    """What trains beside the student, and alone in a checkpoint: an untrained query is never saved."""
    teacher: bool = True
    tokenizers: Literal["one", "two", "any"] = "two"
    """``one``: student and teacher must share theirs; ``two``: they must not."""
    scales: bool = False
    """Of keys, states and targets; see `probe.checkpoints.checkpoint.Scales`."""
    expectations: bool = False
    """Whether it can use what the teacher's predictions amount to, cached; see `teacher_space`."""
    links: str | None = None
    """What says which positions may meet; see `links.links_of`."""
    vocabulary: Literal["nearest", "exact"] | None = None
    """Student tokens by teacher token: from a map's file, or those with the same bytes alone."""
    networks: str | None = None
    """What makes the networks of key-query matching from the objective and the keys' width."""

    @property
    def attention(self) -> bool:
        """Whether the query projector is trained, so that there is an attention to probe."""
        return QUERY in self.projectors

    @property
    def freezes_query(self) -> bool:
        """Whether its query may be frozen. Key-query matching would have nobody to move: keys never train."""
        return self.attention and self.networks is None

    @property
    def decodes(self) -> bool:
        """Whether it has an attention over all positions, which a decoder can bring into order."""
        return self.attention and self.links is None

    @property
    def map_file(self) -> bool:
        """Whether it reads ``objective.vocabulary_map``."""
        return self.vocabulary == "nearest"


_TWO, _ALL = (T2S, S2T), (QUERY, T2S, S2T)

METHODS: Mapping[str, Needs] = MappingProxyType(
    {
        "sft": Needs("logit_matching.sft", teacher=False, tokenizers="any"),
        "kd": Needs("logit_matching.kd", tokenizers="one"),
        "dskd": Needs("dual_space.dskd", _TWO, tokenizers="one", expectations=True),
        "cma": Needs("cma.cma", _ALL, scales=True, expectations=True),
        "cla": Needs("cma.cla", _ALL, scales=True, expectations=True, links="links.chunks"),
        "uniform": Needs("cma.uniform", _TWO, scales=True, expectations=True),
        "clp": Needs("cma.clp", _TWO, scales=True, expectations=True, links="links.chunks"),
        "cma-ga": Needs("matching.matched", _ALL, scales=True, expectations=True, networks="matching.adversary"),
        "cma-ct": Needs("matching.matched", _ALL, scales=True, expectations=True, networks="matching.transport"),
        "uld": Needs("logit_matching.uld", tokenizers="any"),
        "mined": Needs("logit_matching.mined", links="links.warped", vocabulary="nearest"),
        "eta": Needs("eta.eta", _TWO, links="links.exact", vocabulary="exact"),
    }
)
"""A new method is a line here and the module that the line names; see README.md."""

if TYPE_CHECKING:
    Method = str
else:  # the names of the table, against which recipes are checked
    Method = Literal[tuple(METHODS)]


def named(function: str) -> Any:
    """A function of the table. It is imported when it is asked for, because its module imports this one."""
    module, _, name = function.rpartition(".")
    return getattr(import_module(f"{__package__}.{module}"), name)


DivergenceName = Literal[
    "forward_kl", "reverse_kl", "skewed_forward_kl", "skewed_reverse_kl", "js_divergence", "adaptive_kl"
]
CriticName = Literal["trained", "released", "norm-only"]
ChunkSide = Literal["target", "input"]
DecoderName = Literal["none", "grid", "diagonal"]
FrozenName = Literal["query", "student_embeddings"]
MaskName = Literal["both", "forward", "backward", "not earlier", "not later"]


def wrong_decoder(method: Method, decoder: DecoderName, *, reference: bool) -> str | None:
    """What a decoder needs that the method, or reference mode, does not have; None if nothing is missing."""
    if decoder == "none" or (METHODS[method].decodes and not reference):
        return None
    methods = ", ".join(name for name, needs in METHODS.items() if needs.decodes)
    return f"none, or a method with attention over all positions ({methods}), not in reference mode"


def wrong_freeze(method: Method, frozen: Collection[FrozenName]) -> str | None:
    """What freezing needs that the method does not have; None if nothing is missing."""
    if QUERY not in frozen or METHODS[method].freezes_query:
        return None
    methods = ", ".join(name for name, needs in METHODS.items() if needs.freezes_query)
    return f"no query, or a method with one and without key-query matching ({methods})"


def wrong_links(method: Method, mask: MaskName, moved: float, dropped: float, *, reference: bool) -> str | None:
    """What an intervention on links needs that is not there; None if nothing is missing."""
    if moved + dropped > 1:
        return "links_moved and links_dropped of at most 1 together"
    if (moved or dropped) and (METHODS[method].links != "links.chunks" or reference):
        return "no links moved or dropped, or a method of chunks (cla, clp), not in reference mode"
    if mask != "both" and (method != "cla" or reference):
        return "mask both, or the method cla, not in reference mode"
    return None


@dataclass(frozen=True, slots=True)
class Objective:
    """A method and its numbers.

    ``reference`` reproduces the published code on a batch padded as it pads: masks by adding -1e5, adaptive KL with
    the temperature applied twice, student rows without a partner kept. Scales are given apart, see
    `probe.checkpoints.checkpoint`.
    """

    method: Method = "cma"
    kd_rate: float = 0.5
    temperature: float = 2.0
    teacher_temperature: float = 1.0
    """Divides the t2s logits a second time, in the cross-model methods alone."""
    divergence: DivergenceName = "forward_kl"
    skew: float = 0.1
    alpha: float = 0.5
    """The share of the guide's probability that adaptive KL calls the tail."""
    critic: CriticName = "trained"
    kq_rate: float = 1.0
    kq_hidden: int = 768
    divergence_rate: float = 1.0
    """Of D, what the student learns from the t2s logits; see `dual_space`."""
    s2t_rate: float = 1.0
    """Of KL(teacher ‖ s2t), the same in the teacher's space."""
    only_projectors: bool = False
    """Drop the two divergences, so that projectors learn from the t2s cross-entropy alone."""
    reference: bool = False
    chunk_side: ChunkSide = "target"
    """What chunks join, for cla and clp; see `links`."""
    links_moved: float = 0.0
    """The share of a response's chunks whose links lead to another chunk, for cla and clp; see `links.broken`."""
    links_dropped: float = 0.0
    """The share of chunks that lose their links."""
    mask: MaskName = "both"
    """What chunks mask, for cla; see `cma.cla`."""
    decoder: DecoderName = "none"
    """How attention over all positions is brought into order; see `decoders`."""
    decoder_rate: float = 1.0
    """For diagonal: what logits lose, at the first step, for each teacher token of distance."""
    vocabulary_map: str | None = None
    """For mined: a file of `probe.training.vocabulary_map`."""

    def __post_init__(self) -> None:
        inside = 0 <= self.kd_rate <= 1 and 0 <= self.skew <= 1 and 0 <= self.alpha <= 1
        inside = inside and 0 <= self.links_moved <= 1 and 0 <= self.links_dropped <= 1
        rates = (self.kq_rate, self.decoder_rate, self.divergence_rate, self.s2t_rate)
        temperatures = (self.temperature, self.teacher_temperature)
        inside = inside and all(map(math.isfinite, (*temperatures, *rates)))
        if not inside or min(temperatures) <= 0 or min(rates) < 0 or self.kq_hidden < 1:
            shares = "kd_rate, skew, alpha, links_moved and links_dropped from 0 to 1"
            ranges = shares, "temperatures above 0", "other numbers not negative"
            expected = ", ".join(ranges)
            raise TrainingError(Problem("objective", expected, str(self), "Mend the number that is out of range."))
        wrong = wrong_decoder(self.method, self.decoder, reference=self.reference)
        if wrong is not None:
            where, got = "objective.decoder", f"{self.decoder} with {self.method}, reference {self.reference}"
            raise TrainingError(Problem(where, wrong, got, "Choose another method, or no decoder."))
        links = self.mask, self.links_moved, self.links_dropped
        wrong = wrong_links(self.method, *links, reference=self.reference)
        if wrong is not None:
            got = f"mask {self.mask}, moved {self.links_moved}, dropped {self.links_dropped} with {self.method}"
            raise TrainingError(Problem("objective", wrong, got, "Leave links as they are, or choose cla."))

    @property
    def needs(self) -> Needs:
        """What the method needs."""
        return METHODS[self.method]
