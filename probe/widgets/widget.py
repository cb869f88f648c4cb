"""What the widgets of a notebook have in common: their scripts and styles, and the extra that they need."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from probe.errors import MissingExtraError, Problem

_HERE = Path(__file__).parent


def parts(*names: str) -> str:
    """Files beside this one under each other: a widget has one script and one style."""
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in names)


@contextmanager
def needs_notebooks(where: str) -> Generator[None]:
    """Name the extra where importing a widget fails for want of it.

    Raises:
        MissingExtraError: the extra ``notebooks`` is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("anywidget", "ipywidgets", "traitlets"):
            raise
        remedy = "Run: pip install 'cma-probe[notebooks]', or '.[notebooks]' in a clone."
        raise MissingExtraError(Problem(where, "the extra notebooks", f"no {error.name}", remedy)) from error
