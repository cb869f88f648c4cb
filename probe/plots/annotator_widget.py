"""The annotator as a widget: it sends the state's view to the page, and the page's intents to the state."""

from typing import Any

import anywidget
import traitlets

from probe.pair_rows import GoldRow
from probe.plots.annotation import Annotation
from probe.plots.annotator_view import answer, view
from probe.plots.widget import parts


class Annotator(anywidget.AnyWidget):
    """Rows of a gold file in a notebook; made by `probe.annotate`."""

    _esm = parts("widget.js", "annotator.js")
    _css = parts("widget.css", "annotator.css")
    ids = traitlets.List(traitlets.Unicode()).tag(sync=True)
    view = traitlets.Dict().tag(sync=True)

    def __init__(self, state: Annotation) -> None:
        self.state = state
        super().__init__(ids=[row.id for row in state.rows], view=view(state))
        self.on_msg(self._hear)

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
