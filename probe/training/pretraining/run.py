"""One run of projector pre-training, from two model directories and a jsonl file to a checkpoint directory."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from probe.checkpoints.checkpoint import Checkpoint, ModelRecord, save_checkpoint
from probe.errors import Problem, TrainingError
from probe.models.tokenizer import Tokenizer
from probe.output.files import sweep
from probe.output.locks import held
from probe.training.criteria.projectors import Projectors
from probe.training.examples import Encoded, Example, digest, tokenize
from probe.training.model_files import directory_of, record_of, running_device
from probe.training.pretraining.loop import PretrainInputs, pretrain, pretrain_steps
from probe.training.progress import CHECKPOINT, LOG, MADE_OF, PROJECTORS, STATE, remember
from probe.training.projector_loop import LoopSettings
from probe.training.teacher.states import TeacherStates, estimate_scales, teacher_states

STATES = "teacher_states.npy"


class PretrainRun(NamedTuple):
    """What a run is made of; sources are as in `probe.models.sources`."""

    name: str
    student: str
    teacher: str
    rows: Sequence[Example]
    prompt: str
    settings: LoopSettings


def run_pretraining(run: PretrainRun, directory: Path) -> Path:
    """Train projectors in ``directory`` and return the checkpoint written there. A killed run goes on.

    Raises:
        TrainingError: data or a saved state cannot be used, or student and teacher share their tokenizer.
        TableError, CheckpointError: a model cannot be read.
        OutputError: another process trains there, or the directory cannot be written to.
    """
    with _alone(directory):
        frozen = _freeze(run, directory)
        projectors = pretrain(frozen.inputs, run.settings, directory)
        return _save(frozen, projectors, run.settings.steps, directory / CHECKPOINT).path


def pretraining(run: PretrainRun, directory: Path, *, every: int) -> Iterator[Checkpoint]:
    """Train as `run_pretraining` does, and hand out the checkpoint of every so many steps while training waits.

    The first is of the projectors as they start, untrained or where a killed run stopped; the last lies where
    `run_pretraining` puts it, the others in ``directory/projectors/step-N``.

    Raises:
        TrainingError: ``every`` is less than one, or as `run_pretraining`.
        TableError, CheckpointError: a model cannot be read.
    """
    if every < 1:
        raise TrainingError(Problem("every", "at least one step", str(every), "Raise it."))
    with _alone(directory):
        frozen = _freeze(run, directory)
        for step, projectors in pretrain_steps(frozen.inputs, run.settings, directory, every=every):
            place = CHECKPOINT if step == run.settings.steps else f"{PROJECTORS}/step-{step}"
            yield _save(frozen, projectors, step, directory / place)


@contextmanager
def _alone(directory: Path) -> Generator[None]:
    """Keep other processes out, and take away what a killed one left."""
    with held(directory):
        sweep(directory, STATE, LOG, MADE_OF, CHECKPOINT, Path(STATES).with_suffix(".json").name)
        sweep(directory / PROJECTORS, "step-*")
        yield


class _Frozen(NamedTuple):
    """What of a run does not change while it trains."""

    run: PretrainRun
    student: ModelRecord
    teacher: ModelRecord
    inputs: PretrainInputs
    data: Mapping[str, int | str]


def _freeze(run: PretrainRun, directory: Path) -> _Frozen:
    student, teacher = (Tokenizer.load(directory_of(source)) for source in (run.student, run.teacher))
    if student.vocabulary_sha256() == teacher.vocabulary_sha256():
        raise TrainingError(
            Problem(run.student, "another tokenizer than the teacher's", "the same", "CMA is for pairs that differ.")
        )
    records = record_of(run.student, student, run.prompt), record_of(run.teacher, teacher, run.prompt)
    data = {"rows": len(run.rows), "data_sha256": digest(run.rows)}
    remember(directory, {"student": records[0].sources[0].sha256, "teacher": records[1].sources[0].sha256, **data})
    student_encoded = [tokenize(example, student) for example in run.rows]
    teacher_encoded = [tokenize(example, teacher) for example in run.rows]
    inputs = _inputs(run, records, student_encoded, teacher_encoded, directory)
    return _Frozen(run, *records, inputs, data)


def _save(frozen: _Frozen, projectors: Projectors, step: int, place: Path) -> Checkpoint:
    run = frozen.run
    checkpoint = Checkpoint(
        name=run.name,
        path=place,
        method="cma",
        criterion="t2s pre-training",
        steps=step,
        student=frozen.student,
        teacher=frozen.teacher,
        scales=frozen.inputs.scales,
        prompt=run.prompt,
        projectors=projectors.to_numpy(),
        recipe={**asdict(run.settings), **frozen.data},
    )
    place.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(checkpoint, place)
    return checkpoint


def _inputs(
    run: PretrainRun,
    records: tuple[ModelRecord, ModelRecord],
    student_encoded: list[Encoded],
    teacher_encoded: list[Encoded],
    directory: Path,
) -> PretrainInputs:
    states = _states(run, records[1], teacher_encoded, directory)
    tables = [_module_table(source) for source in (run.student, run.teacher)]
    scales = estimate_scales(
        teacher_encoded,
        lambda ids: tables[1][0][torch.from_numpy(ids)].numpy(),
        (states.of(i) for i in range(len(teacher_encoded))),
    )
    return PretrainInputs(
        student_table=tables[0][0],
        teacher_table=tables[1][0],
        head=tables[0][1],
        student=student_encoded,
        teacher=teacher_encoded,
        states=states,
        scales=scales,
    )


def _states(run: PretrainRun, record: ModelRecord, encoded: list[Encoded], directory: Path) -> TeacherStates:
    from transformers import AutoModel

    model = AutoModel.from_pretrained(directory_of(run.teacher), dtype=torch.float32, trust_remote_code=False)
    model = model.eval().to(running_device())
    return teacher_states(model, record.sources[0].sha256, encoded, directory / STATES)


def _module_table(source: str) -> tuple[Float[Tensor, "vocabulary width"], Float[Tensor, "vocabulary width"]]:
    """What the embedding module returns for every id, and the vocabulary head, both as float32."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(
        directory_of(source), dtype=torch.float32, trust_remote_code=False
    )
    with torch.inference_mode():
        table = model.get_input_embeddings()(torch.arange(model.config.vocab_size))
    return table.clone(), model.get_output_embeddings().weight.detach()
