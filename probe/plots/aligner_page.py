"""A ranking of aligners as one HTML page that needs no network: verdict, picture and table of each pair."""

import base64
from collections.abc import Mapping
from pathlib import Path
from string import Template

from probe.output.tables import percent
from probe.plots.aligner_picture import aligner_figure
from probe.plots.report_page.tables import Node, element, markup
from probe.plots.saving import svg_text
from probe.report.aligner_report import AlignerReport
from probe.report.aligner_tables import BY_CONSTRUCTION, HEADS, cells, heading, verdict

_PAGE = Path(__file__).with_name("aligner_page.html")


def to_html(reports: Mapping[str, AlignerReport]) -> str:
    """The page; pictures are light or dark as the reader prefers."""
    sections = "\n".join(markup(_section(report)) for report in reports.values())
    return Template(_PAGE.read_text(encoding="utf-8")).substitute(
        sections=sections, note=markup(element("p", BY_CONSTRUCTION))
    )


def _section(report: AlignerReport) -> Node:
    lead, *rest = verdict(report)
    told = element("p", element("strong", lead), *(part for line in rest for part in (element("br"), line)))
    heads = element(
        "tr", *(element("th", head.replace("\n", " "), scope="col") for head in ("aligner", *HEADS, "top-1 %"))
    )
    rows = [
        element(
            "tr",
            element("th", name, element("small", f"{note} ({used_by})"), scope="row"),
            *(element("td", cell) for cell in (*cells(report, k), percent(report.top_1.at(k).value) or "–")),
        )
        for k, (name, (note, used_by)) in enumerate(zip(report.names, report.notes, strict=True))
    ]
    table = element("table", element("thead", heads), element("tbody", *rows))
    return element("section", element("h2", heading(report)), told, _picture(report), element("div", table))


def _picture(report: AlignerReport) -> Node:
    light, dark = (_address(report, dark=dark) for dark in (False, True))
    return element(
        "picture",
        element("source", media="screen and (prefers-color-scheme: dark)", srcset=dark),
        element("img", src=light, alt=f"F1 by phenomenon of each aligner, {report.pair}"),
    )


def _address(report: AlignerReport, *, dark: bool) -> str:
    drawn = base64.b64encode(svg_text(aligner_figure(report, dark=dark)).encode()).decode()
    return f"data:image/svg+xml;base64,{drawn}"
