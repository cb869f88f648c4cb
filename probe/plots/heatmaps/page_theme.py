"""What differs between the light and the dark form of a page, so that a browser can change one into the other."""

import json
from collections.abc import Iterator
from typing import Any

from probe.plots.style import DARK, palette

Change = tuple[list[str | int], Any, Any]
"""The place in a figure of plotly, its value in light and its value in dark."""


def changes(light: Any, dark: Any) -> list[Change]:
    """The differences of two figures of plotly that show the same."""
    return list(_differences(json.loads(light.to_json()), json.loads(dark.to_json()), []))


def _differences(light: Any, dark: Any, path: list[str | int]) -> Iterator[Change]:
    if light == dark or (path[:1] == ["layout"] and path[-1] == "ticktext"):  # the script of the page sets labels
        return
    if isinstance(light, dict) and isinstance(dark, dict):
        for key in light:
            yield from _differences(light[key], dark[key], [*path, key])
    elif isinstance(light, list) and path in (["data"], ["layout", "annotations"]):
        for number, (one, other) in enumerate(zip(light, dark, strict=True)):
            yield from _differences(one, other, [*path, number])
    else:
        yield path, light, dark


def script(found: list[Change]) -> str:
    """The differences as the constant that ``theme.js`` reads."""
    written = json.dumps(found, ensure_ascii=False).replace("</", r"<\/")  # labels hold HTML, which ends no script
    return f"const THEMES = {written};\n"


def style(*, dark: bool) -> str:
    """The style sheet of the page: always dark, or as the reader prefers."""
    scheme, ground = "dark" if dark else "light dark", palette(dark=dark).ground
    always = f":root {{ color-scheme: {scheme}; }} body {{ margin: 0; background: {ground}; }}"
    preferred = f"@media screen and (prefers-color-scheme: dark) {{ body {{ background: {DARK.ground}; }} }}"
    return always if dark else f"{always} {preferred}"
