"""The widgets: each sends the view of its state to the page, and what the page asks for to the state."""

from base64 import b64encode
from itertools import count
from pathlib import Path
from textwrap import shorten
from typing import Any

import anywidget
import traitlets
from ipywidgets import Layout

from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.plots.saving import png_bytes
from probe.widgets import annotator_view, exploration, explorer_view
from probe.widgets.annotation import Annotation

_DPI = 120
_NUMBERS = count(1)


def _parts(*names: str) -> str:
    """Files beside this one under each other: a widget has one script and one style."""
    here = Path(__file__).parent
    return "\n".join((here / name).read_text(encoding="utf-8") for name in names)


class Annotator(anywidget.AnyWidget):
    """Rows of a gold file in a notebook; made by `probe.annotate`."""

    _esm = _parts("widget.js", "annotator.js")
    _css = _parts("widget.css", "annotator.css")
    ids = traitlets.List(traitlets.Unicode()).tag(sync=True)
    view = traitlets.Dict().tag(sync=True)

    def __init__(self, state: Annotation) -> None:
        self.state = state
        # Numbered in the order of a kernel's life, for with random names a notebook that is run again has changed.
        name = f"probe-annotator-{next(_NUMBERS)}"
        ids = [row.id for row in state.rows]
        super().__init__(
            ids=ids, view=annotator_view.view(state), model_id=name, layout=Layout(model_id=f"{name}-layout")
        )
        self.on_msg(self._hear)

    def __repr__(self) -> str:
        """The file and the row that is shown."""
        return f"<Annotator of {self.state.path.name}, row {self.state.row.id}>"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The widget, and beside it a picture of the row for readers without a kernel."""
        bundle: Any = super()._repr_mimebundle_(**options)  # None of a widget without a view, which this one has
        data, metadata = bundle
        return {**data, "image/png": png_bytes(annotator_view.picture(self.state), _DPI)}, metadata

    @property
    def rows(self) -> tuple[GoldRow, ...]:
        """The rows as they are now, saved or not."""
        return self.state.rows

    @property
    def comments(self) -> tuple[str, ...]:
        """The file's comment lines."""
        return self.state.comments

    def _hear(self, _: Any, intent: dict[str, Any], buffers: list[bytes]) -> None:
        self.state = annotator_view.answer(self.state, intent)
        self.view = annotator_view.view(self.state)


class Explorer(anywidget.AnyWidget):
    """The attention of any sentence in a notebook; made by `probe.explore`."""

    _esm = _parts(
        "widget.js", "explorer_paint.js", "explorer_overview.js", "explorer_map.js", "explorer_row.js", "explorer.js"
    )
    _css = _parts("widget.css", "explorer.css")
    fixed = traitlets.Dict().tag(sync=True)
    view = traitlets.Dict().tag(sync=True)

    def __init__(self, state: exploration.Exploration) -> None:
        self.state = state
        super().__init__(fixed=explorer_view.fixed(state), view={**explorer_view.view(state), "answers": ""})
        self.on_msg(self._hear)

    @property
    def map(self) -> AttentionMap:
        """The map that is shown."""
        return self.state.found.map

    def __repr__(self) -> str:
        """What is shown of which sentence."""
        text = shorten(self.state.shown.text, 60, placeholder="…")
        return f"<Explorer of {self.state.title}: {text!r}>"

    def _hear(self, _: Any, message: dict[str, Any], buffers: list[bytes]) -> None:
        """Answer with the number of the question, so that the page knows which of its questions are open."""
        self.state = exploration.answer(self.state, message["do"], message["what"])
        self.view = {**explorer_view.view(self.state), "answers": message["id"]}

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Beside the widget a picture and a line of text, which stay where no kernel runs."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        picture = b64encode(explorer_view.static_picture(self.state)).decode()
        return {**data, "image/png": picture, "text/plain": repr(self)}, metadata
