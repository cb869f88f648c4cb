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
    from probe.align import align_pairs
    from probe.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
    from probe.chunks import shared_chunks
    from probe.cma import OpenCheckpoint
    from probe.drafts import blank_pairs
    from probe.embeddings import EmbeddingTable, open_table
    from probe.errors import ProbeError
    from probe.explorer import explore
    from probe.find import find_checkpoint
    from probe.fitting import fitting_rows
    from probe.maps import AttentionMap
    from probe.pair_rows import GoldRow
    from probe.pairs import GoldFile, read_pairs, write_pairs
    from probe.plots.annotator import annotate
    from probe.plots.heatmap import heatmap, save_heatmap
    from probe.report.document import load_report, load_reports, save_report
    from probe.report.values import ProbeReport
    from probe.tokens import TokenizedText

__version__ = "0.1.0"

_HOMES = {
    "AttentionMap": "maps",
    "Checkpoint": "checkpoint",
    "EmbeddingTable": "embeddings",
    "GoldFile": "pairs",
    "GoldRow": "pair_rows",
    "OpenCheckpoint": "cma",
    "ProbeError": "errors",
    "ProbeReport": "report.values",
    "TokenizedText": "tokens",
    "align_pairs": "align",
    "annotate": "plots.annotator",
    "blank_pairs": "drafts",
    "explore": "explorer",
    "find_checkpoint": "find",
    "fitting_rows": "fitting",
    "heatmap": "plots.heatmap",
    "load_checkpoint": "checkpoint",
    "load_report": "report.document",
    "load_reports": "report.document",
    "open_table": "embeddings",
    "read_pairs": "pairs",
    "save_checkpoint": "checkpoint",
    "save_heatmap": "plots.heatmap",
    "save_report": "report.document",
    "shared_chunks": "chunks",
    "write_pairs": "pairs",
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
