"""The explorer as a widget: it sends the state's view to the page, and the page's acts to the state."""

from base64 import b64encode
from textwrap import shorten
from typing import Any

import anywidget
import traitlets

from probe.maps import AttentionMap
from probe.widgets.exploration import Exploration, answer
from probe.widgets.explorer_view import fixed, static_picture, view
from probe.widgets.widget import parts


class Explorer(anywidget.AnyWidget):
    """The attention of any sentence in a notebook; made by `probe.explore`."""

    _esm = parts(
        "widget.js", "explorer_paint.js", "explorer_overview.js", "explorer_map.js", "explorer_row.js", "explorer.js"
    )
    _css = parts("widget.css", "explorer.css")
    fixed = traitlets.Dict().tag(sync=True)
    view = traitlets.Dict().tag(sync=True)

    def __init__(self, state: Exploration) -> None:
        self.state = state
        super().__init__(fixed=fixed(state), view={**view(state), "answers": ""})
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
        self.state = answer(self.state, message["do"], message["what"])
        self.view = {**view(self.state), "answers": message["id"]}

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Beside the widget a picture and a line of text, which stay where no kernel runs."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        picture = b64encode(static_picture(self.state)).decode()
        return {**data, "image/png": picture, "text/plain": repr(self)}, metadata
