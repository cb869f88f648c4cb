"""Compare cross-model attention with annotated links between the tokens of two tokenizers.

    >>> import probe
    >>> opened = probe.load("demo")
    >>> opened.map("Return the path of the file.")
    <AttentionMap cma, 7 student × 7 teacher tokens: 'Return the path of the file.'>
    >>> probe.align(opened)["cma"].top1
    0.433 [0.368, 0.504]

Importing this package is fast: each name is loaded on its first use. Training alone needs torch.
"""

import difflib
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe.aligners.grid import grid
    from probe.alignment.align import align
    from probe.alignment.fitting import fitting_rows
    from probe.alignment.linking import link
    from probe.alignment.ranking import rank_aligners
    from probe.alignment.token_alignment import TokenAlignment, align_tokens
    from probe.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
    from probe.checkpoints.loading import load
    from probe.checkpoints.opened import OpenCheckpoint
    from probe.chunks import shared_chunks
    from probe.errors import ArgumentError, ProbeError
    from probe.figures.every import paper_figure
    from probe.figures.plot import plot
    from probe.gold.drafts import blank_pairs
    from probe.gold.pairs import GoldFile, read_pairs, write_pairs
    from probe.gold.rows import GoldRow
    from probe.keyquery.analyse import key_query
    from probe.maps import AttentionMap
    from probe.models.embeddings import EmbeddingTable, open_table
    from probe.plots.heatmaps.heatmap import Look, heatmap, save_heatmap
    from probe.plots.saving import save_figure
    from probe.report.aligner_report import AlignerReport
    from probe.report.document import load_report, load_reports, save_report
    from probe.report.report import ProbeReport
    from probe.tokens import TokenizedText
    from probe.training.pretrain import pretrain
    from probe.training.train import gradient_reach, train
    from probe.training.trained import TrainedRun
    from probe.watch.attention import QueryAttention, score_attention
    from probe.watch.callback import AlignmentCallback
    from probe.watch.health import AlignmentHealth, alignment_health
    from probe.widgets.opening import annotate, explore

__version__ = "0.1.0"

_HOMES = {
    "AlignerReport": "report.aligner_report",
    "AlignmentCallback": "watch.callback",
    "AlignmentHealth": "watch.health",
    "ArgumentError": "errors",
    "AttentionMap": "maps",
    "Checkpoint": "checkpoints.checkpoint",
    "EmbeddingTable": "models.embeddings",
    "GoldFile": "gold.pairs",
    "GoldRow": "gold.rows",
    "Look": "plots.heatmaps.heatmap",
    "OpenCheckpoint": "checkpoints.opened",
    "ProbeError": "errors",
    "ProbeReport": "report.report",
    "QueryAttention": "watch.attention",
    "TokenAlignment": "alignment.token_alignment",
    "TokenizedText": "tokens",
    "TrainedRun": "training.trained",
    "align": "alignment.align",
    "align_tokens": "alignment.token_alignment",
    "alignment_health": "watch.health",
    "annotate": "widgets.opening",
    "blank_pairs": "gold.drafts",
    "explore": "widgets.opening",
    "fitting_rows": "alignment.fitting",
    "gradient_reach": "training.train",
    "grid": "aligners.grid",
    "heatmap": "plots.heatmaps.heatmap",
    "key_query": "keyquery.analyse",
    "link": "alignment.linking",
    "load": "checkpoints.loading",
    "load_checkpoint": "checkpoints.checkpoint",
    "load_report": "report.document",
    "load_reports": "report.document",
    "open_table": "models.embeddings",
    "paper_figure": "figures.every",
    "plot": "figures.plot",
    "pretrain": "training.pretrain",
    "rank_aligners": "alignment.ranking",
    "read_pairs": "gold.pairs",
    "save_checkpoint": "checkpoints.checkpoint",
    "save_figure": "plots.saving",
    "save_heatmap": "plots.heatmaps.heatmap",
    "save_report": "report.document",
    "score_attention": "watch.attention",
    "shared_chunks": "chunks",
    "train": "training.train",
    "write_pairs": "gold.pairs",
}

__all__ = [
    "AlignerReport",
    "AlignmentCallback",
    "AlignmentHealth",
    "ArgumentError",
    "AttentionMap",
    "Checkpoint",
    "EmbeddingTable",
    "GoldFile",
    "GoldRow",
    "Look",
    "OpenCheckpoint",
    "ProbeError",
    "ProbeReport",
    "QueryAttention",
    "TokenAlignment",
    "TokenizedText",
    "TrainedRun",
    "align",
    "align_tokens",
    "alignment_health",
    "annotate",
    "blank_pairs",
    "explore",
    "fitting_rows",
    "gradient_reach",
    "grid",
    "heatmap",
    "key_query",
    "link",
    "load",
    "load_checkpoint",
    "load_report",
    "load_reports",
    "open_table",
    "paper_figure",
    "plot",
    "pretrain",
    "rank_aligners",
    "read_pairs",
    "save_checkpoint",
    "save_figure",
    "save_heatmap",
    "save_report",
    "score_attention",
    "shared_chunks",
    "train",
    "write_pairs",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        close = difflib.get_close_matches(name, __all__, n=1)
        hint = f"; it has probe.{close[0]}" if close else ""
        raise AttributeError(f"module 'probe' has no attribute {name!r}{hint}")
    return getattr(import_module(f"probe.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__


if "IPython" in sys.modules:  # in a notebook, maps, reports, rows and checkpoints show a table and a picture
    import_module("probe.plots.displays").register()
