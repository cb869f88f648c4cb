"""A model card beside a checkpoint: what it is, how well it aligns, and how to load it, in the form of the hub."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from probe.alignment.align import align_rows
from probe.alignment.fitting import scorable
from probe.checkpoints.checkpoint import ModelRecord
from probe.checkpoints.opened import OpenCheckpoint
from probe.errors import OutputError, Problem
from probe.gold.pairs import read_pairs
from probe.models.sources import is_here
from probe.output.documents import escape_markdown, markdown_table
from probe.output.files import replacing_file
from probe.output.tables import number, percent, with_interval
from probe.plots.heatmaps.heatmap import save_heatmap
from probe.report.overview import Line, grouped
from probe.report.report import ProbeReport
from probe.report.values import Origin
from probe.scoring.scores import METRICS
from probe.stats import Estimate

CARD, PICTURE = "README.md", "alignment.png"
SENTENCE = "The cat sat on the mat because the cat was tired."
LISTED = {"top-1": "top1", "MRR": "mrr", "F1": "f1"}
"""Figures in the model-index, and their names in a report."""
HUB_ID = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@\S+)?")


@dataclass(frozen=True)
class Named:
    """What a checkpoint does not say about itself."""

    repository: str = "USER/NAME"
    licence: str | None = None
    """By its name on the hub, such as ``apache-2.0`` or ``gemma``."""
    base_models: tuple[str, ...] = ()
    """Hub ids; default: those that the checkpoint has as sources of its models."""
    datasets: tuple[str, ...] = ()


def write_card(opened: OpenCheckpoint, directory: Path, named: Named) -> tuple[Path, Path]:
    """Score a checkpoint on the gold data, and write its card and its picture into its directory.

    Returns:
        The paths of both.

    Raises:
        OutputError: the directory has a file of one of these names, or cannot be written to.
        PairsError: no gold text can be linked for its tokenizers.
    """
    card, image = directory / CARD, directory / PICTURE
    for path in (card, image):
        if path.exists():
            remedy = "Move it away first: nobody's card is overwritten."
            raise OutputError(Problem(str(path), "no file of this name", "one that is there", remedy))
    report = align_rows(opened, scorable(opened, read_pairs()))
    text = card_text(report, opened, directory, named)
    save_heatmap(opened.map(SENTENCE), image)
    with replacing_file(card) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return card, image


def card_text(report: ProbeReport, opened: OpenCheckpoint, directory: Path, named: Named) -> str:
    """Front matter and text, as the hub's own library reads them.

    Raises:
        ValueError: that library refuses it, as for an empty name.
    """
    from huggingface_hub import ModelCard

    text = f"---\n{_front_matter(report, opened, named).to_yaml()}\n---\n\n{_body(report, opened, directory, named)}"
    return str(ModelCard(text))  # which parses it, and checks the results


def _front_matter(report: ProbeReport, opened: OpenCheckpoint, named: Named) -> Any:
    from huggingface_hub import EvalResult, ModelCardData

    records = opened.checkpoint.student, opened.checkpoint.teacher
    base_models = named.base_models or tuple(id_ for one in records if (id_ := hub_id(one, opened.checkpoint.path)))
    figures = report[report.methods[0]]
    results = [
        EvalResult(
            task_type="token-alignment",
            task_name="Token alignment across tokenizers",
            dataset_type="cma-probe-gold",
            dataset_name=f"cma-probe, {report.origin.gold}",
            dataset_args={"sentences": len(report.sentences), "sha256": report.origin.gold_sha256},
            metric_type=name.lower(),
            metric_name=name,
            metric_value=round(float(one), 4),
            metric_args=_ends(one),
        )
        for name, field in LISTED.items()
        if (one := getattr(figures, field)).value is not None
    ]
    return ModelCardData(
        base_model=list(base_models) or None,
        datasets=list(named.datasets) or None,
        eval_results=results,
        library_name="cma-probe",
        license=named.licence,
        model_name=opened.checkpoint.name,
        tags=["knowledge-distillation", "cross-tokenizer", "cross-model-attention"],
    )


def _ends(one: Estimate) -> dict[str, list[float]] | None:
    """The interval of a figure, in the form that results on the hub have room for."""
    return None if one.low is None or one.high is None else {"ci95": [round(one.low, 4), round(one.high, 4)]}


def hub_id(record: ModelRecord, directory: Path) -> str | None:
    """The hub id among the sources of a model, if one is."""
    for one in record.sources:
        if not is_here(one.source, directory) and (match := HUB_ID.fullmatch(one.source)):
            return match[1]
    return None


def _body(report: ProbeReport, opened: OpenCheckpoint, directory: Path, named: Named) -> str:
    checkpoint, origin = opened.checkpoint, report.origin
    steps = "" if checkpoint.steps is None else f", {checkpoint.steps} steps"
    student, teacher = (escape_markdown(one.name) for one in (checkpoint.student, checkpoint.teacher))
    terms = " The file NOTICE states terms that go with these files." if (directory / "NOTICE").is_file() else ""
    licence = f"Licence: {named.licence}." if named.licence else "Whoever made this checkpoint has named no licence."
    return f"""# {escape_markdown(checkpoint.name)}

Projectors of a cross-model attention between two language models with different tokenizers: the student {student}
attends to the tokens of the teacher {teacher}. Method {escape_markdown(checkpoint.method)}, criterion
{escape_markdown(checkpoint.criterion)}{steps}. Keys are divided by {checkpoint.scales.key:.4g}{_estimated(origin)}.
{"The folder student has the student that was trained." if (directory / "student").is_dir() else "No model is here."}

![Attention for one sentence]({PICTURE})

## How well it aligns

{escape_markdown(" ".join(report.verdict.splitlines()))}

On {escape_markdown(origin.gold)}: {len(report.sentences)} sentences, {report.rows} student tokens with a sure link. In
brackets are 95 % confidence intervals over sentences.

{_table(report)}
## How to load it

```bash
pip install cma-probe
probe-align --checkpoint {named.repository}@REVISION
```

```python
import probe

opened = probe.load("{named.repository}@REVISION")
print(probe.align(opened).verdict)
```

Name a revision, so that the figures stay these. The models themselves are read where the checkpoint says, or where
`--student` and `--teacher` do.

## Files

{markdown_table(("file", "SHA-256"), [(name, sha256) for name, sha256 in origin.files])}
{licence}{terms} Versions: {", ".join(f"{name} {version}" for name, version in origin.versions)}.
"""


def _estimated(origin: Origin) -> str:
    return ", an estimate" if origin.key_scale_is_estimate else ""


def _table(report: ProbeReport) -> str:
    lines = [line for group in grouped({report.checkpoint: report}).values() for line in group]
    heads = ("", "top-1, % [95 % CI]", "MRR [95 % CI]", "F1, % [95 % CI]")
    return markdown_table(heads, [[line.name, *_cells(line)] for line in lines])


def _cells(line: Line) -> Sequence[str]:
    found = (line.report.intervals.at(line.method, METRICS.index(name)) for name in LISTED)
    forms = percent, partial(number, form=".2f"), percent
    return [with_interval(one, form) for one, form in zip(found, forms, strict=True)]
