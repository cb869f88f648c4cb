"""Tables of a report as HTML. Elements are built, not pasted as strings, so no text can become markup."""

from collections.abc import Callable, Sequence
from xml.etree.ElementTree import Element, tostring

from probe.gold.triples import KINDS as TRIPLE_KINDS
from probe.output.tables import number, percent, points
from probe.report.tables import HEADERS, IN_PERCENT
from probe.report.triples import TripleScores
from probe.report.values import BESIDE, Findings, Group
from probe.scoring.destinations import DESTINATIONS
from probe.scoring.references import NOTES
from probe.scoring.scores import METRICS, SLICE_METRICS
from probe.stats import Estimate

Node = Element


def element(tag: str, *children: Node | str, **attributes: str) -> Node:
    """An element. In attribute names, ``_`` becomes ``-``; a ``_`` at the end is dropped."""
    made = Element(tag, {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()})
    for child in children:
        if not isinstance(child, str):
            made.append(child)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + child
        else:
            made.text = (made.text or "") + child
    return made


def markup(node: Node) -> str:
    """An element as HTML, with all text escaped."""
    return tostring(node, encoding="unicode", method="html")


def methods_table(report: Findings) -> Node:
    """All methods with 95 % CIs, and the difference of the probed method from each."""
    found, differences, first = report.intervals, report.differences, report.methods[0]
    rows: list[Node] = []
    for m, name in enumerate(report.methods):
        cells = [
            cell(*(_figure(metric, value) for value in found.at(m, k)))
            for k, metric in enumerate(METRICS)
            if metric in HEADERS
        ]
        cells.append(bounded(differences.at(m, METRICS.index("top-1")), points) if m else element("td"))
        rows.append(element("tr", _row_head(name), *cells, class_="" if m else "probed"))
    return new_table(["method", *HEADERS.values(), f"{first} − it\ntop-1, points"], rows)


def groups_table(title: str, unit: str, report: Findings, groups: Sequence[Group]) -> Node:
    """Top-1 by group: of the probed method, with a 95 % CI if any group has one, and of some other methods."""
    beside = [name for name in BESIDE if name in report.methods]
    k = SLICE_METRICS.index("top-1")
    with_interval = any(one.figures.at(0, k).low is not None for one in groups)
    rows = [
        element(
            "tr",
            _row_head(one.name),
            cell(str(one.sentences)),
            cell(str(one.rows)),
            cell(*map(percent, list(one.figures.at(0, k))[: None if with_interval else 1])),
            *(cell(percent(one.figures.value[report.methods.index(name), k])) for name in beside),
        )
        for one in groups
    ]
    heads = [title, unit, "tokens", f"{report.methods[0]}\ntop-1, %", *(f"{name}\ntop-1, %" for name in beside)]
    return new_table(heads, rows, heads[3] if with_interval else None)


def mass_table(report: Findings) -> Node:
    """Where the weight goes, by method; 95 % CIs for the probed one."""
    found = report.destinations.figures
    rows = [
        element(
            "tr",
            _row_head(name),
            *(bounded(one, percent) for one in found[m].each()),
            class_="" if m else "probed",
        )
        for m, name in enumerate(report.methods)
    ]
    return new_table(["method", *DESTINATIONS], rows)


def triples_table(scores: Sequence[TripleScores]) -> Node:
    """Top-1 on the three kinds of sentences of the minimal triples, and their paired differences."""
    rows = [
        element(
            "tr",
            _row_head(one.method),
            *(cell(percent(value)) for value in one.top_1),
            *(bounded(step, points) for step in one.steps),
            class_="" if number else "probed",
        )
        for number, one in enumerate(scores)
    ]
    steps = "other − same\ntop-1, points", "synonym − other\ntop-1, points"
    return new_table(["method", *(f"{kind}\ntop-1, %" for kind in TRIPLE_KINDS), *steps], rows)


def new_table(heads: Sequence[str], rows: Sequence[Node], bounded: str | None = None) -> Node:
    """A table with these headers, each with its unit on a second line; in column ``bounded``, CIs are beside values."""
    top = [_column_head(head, {"class_": "bounded"} if head == bounded else {}) for head in heads]
    kind = "figures" if bounded is None else "beside"
    table = element("table", element("thead", element("tr", *top)), element("tbody", *rows), class_=kind)
    # Wide tables scroll on their own, so they must be reachable from the keyboard.
    return element("div", table, class_="wide", tabindex="0", role="group", aria_label=f"table by {heads[0]}")


def _column_head(head: str, attributes: dict[str, str]) -> Node:
    name, _, unit = head.partition("\n")
    return element("th", name, *([element("small", unit)] if unit else []), scope="col", **attributes)


def _row_head(name: str) -> Node:
    note = [element("small", NOTES[name])] if name in NOTES else []
    return element("th", name, *note, scope="row")


def cell(value: str, *ends: str) -> Node:
    """A value with its 95 % CI, if any. An empty CI keeps the values of a column aligned."""
    shown = [element("small", f"[{', '.join(ends)}]" if all(ends) else "")] if ends else []
    return element("td", value, *shown)


def bounded(found: Estimate, form: Callable[[float | None], str]) -> Node:
    """A figure with its 95 % CI."""
    return cell(*map(form, found))


def _figure(metric: str, value: float | None) -> str:
    return percent(value) if metric in IN_PERCENT else number(value, ".1f" if metric == "distance" else ".2f")
