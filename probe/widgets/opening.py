"""Open the widgets in a notebook: `explore` and `annotate`."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from probe.alignment.fitting import fitting_rows
from probe.alignment.methods import CMA
from probe.checkpoints.loading import load
from probe.checkpoints.opened import OpenCheckpoint
from probe.errors import CheckpointError, MissingExtraError, Problem
from probe.gold.pairs import GoldFile, read_pairs
from probe.gold.rows import GoldRow
from probe.plots.heatmaps.labels import drawable
from probe.widgets.annotation import Suggest, open_annotation
from probe.widgets.bench import CheckpointBench, Desk
from probe.widgets.exploration import Choice, open_exploration

if TYPE_CHECKING:
    from probe.widgets.widgets import Annotator, Explorer


TEXT = "Return the path of the file; if the file is missing, raise an error."
Openable = str | Path | OpenCheckpoint


@contextmanager
def _needs_notebooks(where: str) -> Generator[None]:
    """Say which extra is missing if the import of a widget fails.

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


def annotate(path: str | Path, *, row: str | None = None, suggest: Suggest | None = None) -> "Annotator":
    """Annotate a gold file: show a grid for each row to link tokens. The file is written only when you save.

    Args:
        path: the gold file. ``probe-pairs new`` makes one from sentences, `blank_pairs` one for a second annotator.
        row: id of the first row to show; default: the first one of the file.
        suggest: ``"half rule"`` shows the links of the half rule in grey. It also fills in chunks of one token on each
            side in rows without links, as ``"1-1 chunks"`` does; these are the only links that the rules leave no
            choice for. With ``"nothing"``, all is left to you. Default: ``"half rule"``, but ``"1-1 chunks"`` in a file
            that `blank_pairs` wrote.

    Raises:
        MissingExtraError: the extra ``notebooks`` is not installed.
        PairsError: the file cannot be read, has no rows, or no row with that id; or ``suggest`` is something else.

    Example:
        >>> import probe
        >>> grid = probe.annotate("alignments/second.tsv")  # at the end of a cell, it is shown
        >>> len(grid.rows), grid.rows[0].id
        (60, 'demo-011')
    """
    with _needs_notebooks("annotate"):
        from probe.widgets.widgets import Annotator
    return Annotator(open_annotation(path, row=row, suggest=suggest))


def explore(
    checkpoint: Openable | Sequence[Openable] = "demo",
    *,
    gold: str | Path | GoldFile | None = None,
    text: str | None = None,
    fonts: Sequence[str | Path] = (),
) -> "Explorer":
    """A widget that shows the attention of any sentence while it is typed.

        >>> import probe
        >>> explorer = probe.explore(["demo", "demo-cma"], text="Return the path of the file.")
        >>> explorer.map.weights.shape
        (8, 8)

    In a notebook, put it at the end of a cell. Select a row to read its largest weights, set a temperature, choose
    another method or checkpoint, step through the gold rows (lowest top-1 first), and export the heatmap. Without a
    kernel, the notebook shows a picture of the first sentence.

    Args:
        checkpoint: a name, a directory or a hub id as `load` takes them, an open checkpoint, or several.
        gold: a gold file, for links and for methods that need gold rows; each checkpoint takes the rows that fit it.
        text: the first sentence to show; default: the gold row with the lowest top-1 of the first checkpoint, or
            without a gold file an example.
        fonts: files, or names of installed fonts, to try before DejaVu Sans in exported figures.

    Raises:
        MissingExtraError: the extra ``notebooks`` is not installed.
        CheckpointError: a checkpoint cannot be opened, or is named twice.
        PairsError: the gold file cannot be read, or no row of it fits a checkpoint.
        MapError: the sentence has no tokens, or too many.
        OutputError: a font is not installed or cannot be read.
    """
    with _needs_notebooks("explore"):
        from probe.widgets.widgets import Explorer
    rows = gold if gold is None or isinstance(gold, GoldFile) else read_pairs(gold)
    texts = [TEXT if text is None else text] if rows is None else [row.text for row in rows.rows]
    named = (checkpoint,) if isinstance(checkpoint, Openable) else checkpoint
    desks = {name: Desk(open_, _rows(open_, rows)) for name, open_ in _opened(named, texts).items()}
    drawable((), fonts)  # report an unreadable font now, not when a figure is written
    return Explorer(open_exploration(CheckpointBench(desks), _begin(desks, text), tuple(fonts)))


def _begin(desks: Mapping[str, Desk], text: str | None) -> Choice:
    """Start with the given sentence, else with the gold row that has the lowest top-1."""
    name, desk = next(iter(desks.items()))
    if text is None and desk.ranked:
        worst = desk.ranked[0].row
        return Choice(name, worst.text, CMA, row=worst.id)
    return Choice(name, TEXT if text is None else text, CMA)


def _opened(named: Sequence[Openable], texts: Sequence[str]) -> dict[str, OpenCheckpoint]:
    found: dict[str, OpenCheckpoint] = {}
    for one in named:
        open_ = one if isinstance(one, OpenCheckpoint) else load(one, texts=texts)
        name = open_.checkpoint.name
        if name in found and not isinstance(one, OpenCheckpoint):
            name = str(one)
        if name in found:
            raise CheckpointError(
                Problem("explore", "checkpoints with different names", f"{name} twice", "Name each once.")
            )
        # Load the vocabulary now: it takes a second, which the user should not wait for while typing.
        for model in (open_.student, open_.teacher):
            model.tokenizer.encode("")
        found[name] = open_
    if not found:
        raise CheckpointError(Problem("explore", "a checkpoint", "none", "Name one, such as demo."))
    return found


def _rows(open_: OpenCheckpoint, gold: GoldFile | None) -> tuple[GoldRow, ...]:
    return () if gold is None else tuple(fitting_rows(open_, gold))
