"""The annotator as a widget: it sends the state's view to the page, and the page's intents to the state."""

import io
from itertools import count
from typing import Any

import anywidget
import traitlets
from ipywidgets import Layout

from probe.gold.rows import GoldRow
from probe.widgets.annotation import Annotation
from probe.widgets.annotator_picture import picture
from probe.widgets.annotator_view import answer, view
from probe.widgets.widget import parts

_DPI = 120
_NUMBERS = count(1)


class Annotator(anywidget.AnyWidget):
    """Rows of a gold file in a notebook; made by `probe.annotate`."""

    _esm = parts("widget.js", "annotator.js")
    _css = parts("widget.css", "annotator.css")
    ids = traitlets.List(traitlets.Unicode()).tag(sync=True)
    view = traitlets.Dict().tag(sync=True)

    def __init__(self, state: Annotation) -> None:
        self.state = state
        # Numbered in the order of a kernel's life, for with random names a notebook that is run again has changed.
        name = f"probe-annotator-{next(_NUMBERS)}"
        ids = [row.id for row in state.rows]
        super().__init__(ids=ids, view=view(state), model_id=name, layout=Layout(model_id=f"{name}-layout"))
        self.on_msg(self._hear)

    def __repr__(self) -> str:
        """The file and the row that is shown."""
        return f"<Annotator of {self.state.path.name}, row {self.state.row.id}>"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The widget, and beside it a picture of the row for readers without a kernel."""
        bundle: Any = super()._repr_mimebundle_(**options)  # None of a widget without a view, which this one has
        data, metadata = bundle
        png = io.BytesIO()
        picture(self.state).savefig(png, format="png", dpi=_DPI, metadata={"Software": None})
        return {**data, "image/png": png.getvalue()}, metadata

    @property
    def rows(self) -> tuple[GoldRow, ...]:
        """The rows as they are now, saved or not."""
        return self.state.rows

    @property
    def comments(self) -> tuple[str, ...]:
        """The file's comment lines."""
        return self.state.comments

    def _hear(self, _: Any, intent: dict[str, Any], buffers: list[bytes]) -> None:
        self.state = answer(self.state, intent)
        self.view = view(self.state)
