"""From weights to places on a colour map, and what the colour bar says of it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from probe.plots.heatmaps.panels import FAINTEST, TINY, Picture, Scale


@dataclass(frozen=True)
class Shades:
    """One array a panel, its limits (the same for all panels), and the ticks of the colour bar."""

    values: tuple[Float[np.ndarray, "rows columns"], ...]
    limits: tuple[float, float]
    ticks: tuple[float, ...]
    tick_labels: tuple[str, ...]
    label: str


def shades(picture: Picture, scale: Scale) -> Shades:
    """Linear runs from 0 to 1 in every picture, so that two can be compared; a difference is symmetric about 0."""
    weights = tuple(panel.weights for panel in picture.panels)
    if picture.difference:
        bound = max(float(np.abs(weights[0]).max()), TINY)
        ticks = (-bound, 0.0, bound)
        return Shades(
            weights,
            (-bound, bound),
            ticks,
            tuple(f"{tick:+.2g}" if tick else "0" for tick in ticks),
            "change of attention weight",
        )
    if scale == "log":
        floor = np.log10(FAINTEST)
        values = tuple(np.log10(np.maximum(each, FAINTEST)) for each in weights)
        ticks = tuple(float(tick) for tick in range(int(floor), 1))
        labels = "≤ 10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "1"
        return Shades(values, (float(floor), 0.0), ticks, labels, "attention weight")
    quarters = (0.0, 0.25, 0.5, 0.75, 1.0)
    written = tuple(f"{tick:g}" for tick in quarters)
    if scale == "row":
        values = tuple(panel.weights / panel.row_largest[:, None] for panel in picture.panels)
        return Shades(values, (0.0, 1.0), quarters, written, "weight / largest of its row")
    return Shades(weights, (0.0, 1.0), quarters, written, "attention weight")
