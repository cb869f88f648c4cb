"""From a recipe to a run before its first step."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from probe.checkpoints.checkpoint import STUDENT, Checkpoint, ModelRecord, Scales, VerifiedSource
from probe.checkpoints.dskd import PROMPT
from probe.errors import Problem, TrainingError
from probe.models.embeddings import open_table
from probe.models.tokenizer import Tokenizer
from probe.projectors import QUERY
from probe.training.criteria.criterion import Criterion
from probe.training.criteria.links import links_of
from probe.training.criteria.views import plain_head
from probe.training.data.rows import cut_rows, linkable_rows, read_rows
from probe.training.examples import Cut, Example, digest
from probe.training.model_files import TOKENIZER_FILES, directory_of, record_of
from probe.training.parts import ObjectivePart, StudentPart
from probe.training.recipe import Recipe
from probe.training.teacher.teacher import Frozen, freeze_teacher, teacher_source
from probe.training.trainer.alone import TRAINED_ALONE, sharpen
from probe.training.trainer.batches import Rows
from probe.training.trainer.distiller import Distiller
from probe.training.trainer.start import build_criterion, named_checkpoint, scales_of, told_of_start


@dataclass(frozen=True)
class Prepared:
    """A run before its first step."""

    recipe: Recipe
    distiller: Distiller
    train: Rows
    dev: Sequence[Example]
    tokenizer: Tokenizer
    """The student's."""
    student: ModelRecord
    teacher: ModelRecord | None
    scales: Scales | None
    """What checkpoints record; in reference mode every batch has its own, and these are an estimate."""
    tokenizer_files: tuple[Path, ...]
    data_sha256: str
    skipped: tuple[Problem, ...] = ()
    """What is wrong with rows that are left out."""
    notes: tuple[str, ...] = ()
    """What a run should say as it begins, a line each."""

    def describe(self, distiller: Distiller, step: int, place: Path) -> Checkpoint | None:
        """The checkpoint of a step; where the embedding table is trained, it is the one in ``place``."""
        if self.teacher is None:
            return None
        student, part = self.student, self.recipe.objective
        if self.recipe.trains_table:
            identity = open_table(place / STUDENT).identity()
            student = replace(student, sources=(VerifiedSource(STUDENT, identity.sha256),))
        return Checkpoint(
            name=self.recipe.name,
            path=place,
            method=part.method,
            criterion=_criterion_name(part),
            steps=step,
            student=student,
            teacher=self.teacher,
            scales=self.scales or Scales(key=1.0),
            prompt=self.recipe.data.prompt or PROMPT,
            projectors=distiller.criterion.projectors.to_numpy(),
            recipe={
                "sha256": self.recipe.digest(),
                "data_sha256": self.data_sha256,
                **self.recipe.model_dump(mode="json"),
            },
        )


def prepare(recipe: Recipe, main_first: AbstractContextManager[None] | None = None) -> Prepared:
    """Read, check, cache and build everything.

    Args:
        recipe: one run.
        main_first: in it, the main process makes the caches and the others then read them; None if there is but one.

    Raises:
        TrainingError: data, models or the recipe do not fit each other.
        TableError, CheckpointError: a model or a checkpoint cannot be read.
    """
    skipped: list[Problem] = []
    rows = read_rows(recipe.data, recipe.seed, skipped)
    if recipe.objective.needs.teacher:
        rows = linkable_rows(recipe, (recipe.student.source, teacher_source(recipe)), rows, skipped)
    student = cut_rows(recipe, recipe.student.source, rows)
    needs_teacher = recipe.objective.needs.teacher
    teacher = cut_rows(recipe, teacher_source(recipe), rows) if needs_teacher else None
    if teacher is not None:
        _check_tokenizers(recipe, student, teacher)
    prompt = recipe.data.prompt or PROMPT
    student_record = record_of(student.source, student.tokenizer, prompt)
    teacher_record = None if teacher is None else record_of(teacher.source, teacher.tokenizer, prompt)
    start = named_checkpoint("start", recipe, rows.train, student_record, teacher_record)
    sharp = named_checkpoint("as_sharp_as", recipe, rows.train, student_record, teacher_record)
    torch.manual_seed(recipe.seed)
    model = load_student(recipe.student)
    frozen = None
    if teacher is not None:
        with main_first or nullcontext():
            frozen = freeze_teacher(recipe, teacher)
    scales = None if teacher is None or frozen is None else scales_of(recipe, start, teacher, frozen)
    criterion = build_criterion(recipe, start, model, student, teacher, frozen, scales)
    notes = [] if start is None else [told_of_start(recipe, start)]
    if sharp is not None and scales is not None:
        factor = sharpen(criterion.projectors[QUERY], scales.key, sharp, recipe, rows.train)
        named = recipe.objective.as_sharp_as
        whose = "one that is trained alone" if named == TRAINED_ALONE else named
        notes.append(f"the query is multiplied by {factor:.3g}, to be as sharp as {whose}")
    notes += freeze_parts(recipe.objective, model, criterion)
    return Prepared(
        recipe=recipe,
        distiller=Distiller(model, criterion, None if frozen is None else frozen.teacher),
        train=_rows_of(recipe, rows.train, student, teacher, frozen),
        dev=rows.dev,
        tokenizer=student.tokenizer,
        student=student_record,
        teacher=teacher_record,
        scales=scales,
        tokenizer_files=tuple(
            file for name in TOKENIZER_FILES if (file := student.tokenizer.path.with_name(name)).is_file()
        ),
        data_sha256=digest(rows.train),
        skipped=tuple(skipped),
        notes=tuple(notes),
    )


def _rows_of(
    recipe: Recipe, train: Sequence[Example], student: Cut, teacher: Cut | None, frozen: Frozen | None
) -> Rows:
    links = None
    if teacher is not None:
        links = links_of(recipe.objective.objective(), [row.output for row in train], student, teacher, recipe.seed)
    pads = student.tokenizer.eos_id, (teacher or student).tokenizer.eos_id
    return Rows(
        student=student.train,
        teacher=None if teacher is None else teacher.train,
        states=None if frozen is None else frozen.states,
        expected=None if frozen is None else frozen.expected,
        links=links,
        padded=(recipe.data.max_length, *pads) if recipe.objective.reference else None,
    )


def load_student(part: StudentPart) -> Any:
    """The student in float32, with gradients for what is trained.

    Raises:
        TrainingError: its logits are not states times weights.
    """
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(
        directory_of(part.source), dtype=torch.float32, trust_remote_code=False
    )
    plain_head(model)
    match part.train:
        case "all":
            return model.train()
        case "nothing":
            return model.requires_grad_(False)
        case "body":
            for module in (model.get_input_embeddings(), model.get_output_embeddings()):
                module.requires_grad_(False)
            return model.train()
        case "lora":
            from peft import LoraConfig, get_peft_model
            from transformers.pytorch_utils import Conv1D

            lora = part.lora
            config = LoraConfig(
                task_type="CAUSAL_LM",
                # GPT-2 keeps the weights of its layers transposed.
                fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
                r=lora.r,
                lora_alpha=lora.alpha,
                lora_dropout=lora.dropout,
                target_modules=lora.targets,
            )
            return get_peft_model(model, config).train()


def freeze_parts(objective: ObjectivePart, model: Any, criterion: Criterion) -> list[str]:
    """Take the gradients away from what the recipe freezes; returns what the run should say about it."""
    table = model.get_input_embeddings()
    if "student_embeddings" in objective.freeze:
        table.requires_grad_(False)
    if QUERY not in objective.freeze:
        return []
    criterion.projectors.freeze(QUERY)
    if any(parameter.requires_grad for parameter in table.parameters()):
        keep = 'to keep it, set objective.freeze=["query", "student_embeddings"]'
        return [f"the query is frozen, but the student's embeddings train, so the attention moves; {keep}"]
    return []


def _criterion_name(part: ObjectivePart) -> str:
    """What the method's name does not say."""
    parts = ["projectors alone" if part.only_projectors else part.divergence]
    if part.needs.networks is not None:
        parts.append(f"{part.critic}, rate {part.kq_rate:g}")
    if part.decoder != "none":
        parts.append(f"{part.decoder} decoder" + (f", rate {part.decoder_rate:g} to 0" * (part.decoder == "diagonal")))
    parts += [f"frozen {name.replace('_', ' ')}" for name in sorted(set(part.freeze))]
    return ", ".join([*parts, *(["reference mode"] if part.reference else [])])


def _check_tokenizers(recipe: Recipe, student: Cut, teacher: Cut) -> None:
    where, wanted = f"method {recipe.objective.method}", recipe.objective.needs.tokenizers
    same = student.tokenizer.vocabulary_sha256() == teacher.tokenizer.vocabulary_sha256()
    if same and wanted == "two":
        remedy = "Use kd or dskd for models that share one."
        raise TrainingError(Problem(where, "two tokenizers", "one and the same", remedy))
    if not same and wanted == "one":
        remedy = "Use cma, uld or mined for models that do not share one."
        raise TrainingError(Problem(where, "one tokenizer", "two that differ", remedy))
