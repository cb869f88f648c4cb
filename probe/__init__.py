"""See what cross-model attention aligns in cross-tokenizer distillation.

    >>> import probe
    >>> opened = probe.find_checkpoint("demo")
    >>> student, teacher = opened.tokenize("Return the path of the file.")
    >>> opened.map(student, teacher).weights.shape
    (8, 8)

Importing this package is cheap: every name below is loaded when it is first used, and none of them needs torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe.alignment.align import align_pairs
    from probe.alignment.fitting import fitting_rows
    from probe.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
    from probe.checkpoints.find import find_checkpoint
    from probe.checkpoints.opened import OpenCheckpoint
    from probe.chunks import shared_chunks
    from probe.errors import ProbeError
    from probe.gold.drafts import blank_pairs
    from probe.gold.pairs import GoldFile, read_pairs, write_pairs
    from probe.gold.rows import GoldRow
    from probe.maps import AttentionMap
    from probe.models.embeddings import EmbeddingTable, open_table
    from probe.plots.heatmaps.heatmap import heatmap, save_heatmap
    from probe.report.document import load_report, load_reports, save_report
    from probe.report.values import ProbeReport
    from probe.tokens import TokenizedText
    from probe.widgets.opening import annotate, explore

__version__ = "0.1.0"

_HOMES = {
    "AttentionMap": "maps",
    "Checkpoint": "checkpoints.checkpoint",
    "EmbeddingTable": "models.embeddings",
    "GoldFile": "gold.pairs",
    "GoldRow": "gold.rows",
    "OpenCheckpoint": "checkpoints.opened",
    "ProbeError": "errors",
    "ProbeReport": "report.values",
    "TokenizedText": "tokens",
    "align_pairs": "alignment.align",
    "annotate": "widgets.opening",
    "blank_pairs": "gold.drafts",
    "explore": "widgets.opening",
    "find_checkpoint": "checkpoints.find",
    "fitting_rows": "alignment.fitting",
    "heatmap": "plots.heatmaps.heatmap",
    "load_checkpoint": "checkpoints.checkpoint",
    "load_report": "report.document",
    "load_reports": "report.document",
    "open_table": "models.embeddings",
    "read_pairs": "gold.pairs",
    "save_checkpoint": "checkpoints.checkpoint",
    "save_heatmap": "plots.heatmaps.heatmap",
    "save_report": "report.document",
    "shared_chunks": "chunks",
    "write_pairs": "gold.pairs",
}

__all__ = [
    "AttentionMap",
    "Checkpoint",
    "EmbeddingTable",
    "GoldFile",
    "GoldRow",
    "OpenCheckpoint",
    "ProbeError",
    "ProbeReport",
    "TokenizedText",
    "align_pairs",
    "annotate",
    "blank_pairs",
    "explore",
    "find_checkpoint",
    "fitting_rows",
    "heatmap",
    "load_checkpoint",
    "load_report",
    "load_reports",
    "open_table",
    "read_pairs",
    "save_checkpoint",
    "save_heatmap",
    "save_report",
    "shared_chunks",
    "write_pairs",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'probe' has no attribute {name!r}")
    return getattr(import_module(f"probe.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
