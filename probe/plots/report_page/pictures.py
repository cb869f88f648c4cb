"""Pictures of reports inside of the page: drawn once, in colours that follow the page from light to dark."""

import re
from collections.abc import Mapping
from xml.etree.ElementTree import fromstring

from probe.plots.report_figure.figure import panel_figure
from probe.plots.report_figure.panels import Panel, panels
from probe.plots.report_page.tables import Node, element
from probe.plots.saving import svg_text
from probe.plots.style import DARK, LIGHT, Palette
from probe.report.values import Findings

FONTS = "system-ui, 'Noto Sans', sans-serif"
"""Those of the page: a font that the reader lacks would be replaced by one with serifs."""


def pictures(reports: Mapping[str, Findings], prefix: str) -> Node:
    """Methods, phenomena if there are any, and kinds of tokens; ids begin with ``prefix``, to be unique."""
    shown = [panel for panel in panels(reports) if panel is not None]
    drawn = [_picture(panel, f"{prefix}-{number}-") for number, panel in enumerate(shown)]
    return element("div", *drawn, class_="pictures")


def style() -> str:
    """What the colours of the pictures are, on light and on dark ground, as CSS."""
    light, dark = (" ".join(f"--mark-{n}: {c};" for n, c in enumerate(one.repeats)) for one in (LIGHT, DARK))
    return (
        f":root {{ {light} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
        ".pictures svg { stroke-linecap: butt; stroke-linejoin: round; }\n"
    )


def _variables(colours: Palette) -> dict[str, str]:
    """By colour of a palette, the variable of the page that has it in the scheme that the reader prefers."""
    marks = {colour: f"var(--mark-{n})" for n, colour in enumerate(colours.repeats)}
    return {colours.ground: "var(--back)", colours.ink: "var(--ink)", colours.muted: "var(--faint)", **marks}


def _picture(panel: Panel, prefix: str) -> Node:
    figure = panel_figure(panel)
    figure.patch.set_visible(False)
    drawn = fromstring(svg_text(figure))
    _make_inline(drawn, prefix)
    for size in ("width", "height"):  # as wide as the page has room, see page.css
        del drawn.attrib[size]
    drawn.attrib |= {"role": "img", "aria-label": panel.spoken}
    return element("figure", drawn)


def _make_inline(drawn: Node, prefix: str) -> None:
    """Make an image a part of a page: without namespaces, styles for all elements, and ids that others have."""
    for node in drawn.iter():
        node.tag = node.tag.rpartition("}")[2]
        for child in list(node):
            if child.tag.rpartition("}")[2] in ("metadata", "style"):
                node.remove(child)
        if node.tag != "text":
            node.text = None
        node.tail = None
        node.attrib = dict(_inline(name.rpartition("}")[2], value, prefix) for name, value in node.attrib.items())


def _inline(name: str, value: str, prefix: str) -> tuple[str, str]:
    """An attribute with ids and colours of the page."""
    if name == "id":
        return name, prefix + value
    if name == "style":
        variables = _variables(LIGHT)
        value = re.sub("#[0-9a-f]{6}", lambda colour: variables.get(colour[0], colour[0]), value)
        return name, value.replace("'DejaVu Sans'", FONTS)
    return name, re.sub(r"^#|(?<=^url\()#", f"#{prefix}", value)
