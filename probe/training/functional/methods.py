"""What is compared, as it is applied to some texts: attentions, and values with a half left out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from probe.cma import OpenCheckpoint
from probe.errors import MissingExtraError
from probe.pair_rows import GoldRow
from probe.training.functional.attentions import ATTENTIONS, Maps, matched, trained
from probe.training.functional.texts import Text

HALF_VALUES: Mapping[str, Callable[[Text], Text]] = {
    "no hidden": Text.without_states,
    "no target": Text.without_targets,
}
"""The trained attention over values that lack a part."""


@dataclass(frozen=True)
class Method:
    """One attention, and what of the values is kept."""

    name: str
    maps: Maps
    texts: tuple[Text, ...]
    in_teacher_space: bool = True


def refitted_methods(open_: OpenCheckpoint, rows: Sequence[GoldRow], texts: Sequence[Text]) -> Iterator[Method]:
    """All that t2s can be refitted to, one after another: maps of many texts need much room."""
    for name, maps_of in ATTENTIONS.items():
        yield Method(name, maps_of(open_, rows), tuple(texts))
    for name, kept in HALF_VALUES.items():
        yield Method(name, trained(open_, rows), tuple(map(kept, texts)), in_teacher_space=False)


def all_methods(
    open_: OpenCheckpoint, rows: Sequence[GoldRow], texts: Sequence[Text]
) -> tuple[list[Method], tuple[str, ...]]:
    """Those, then matched queries, which the trained t2s alone judges; and what could not be made, and why."""
    found = list(refitted_methods(open_, rows, texts))
    try:
        moved = matched(open_, rows)
    except MissingExtraError as error:
        return found, (f"queries matched to the keys ({error.problems[0].got}: it needs the extra analysis)",)
    return found + [Method(f"q: {name}", maps, tuple(texts)) for name, maps in moved.items()], ()
