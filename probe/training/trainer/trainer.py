"""transformers' Trainer, taught to distil: losses over the global batch, groups of parameters, whole checkpoints."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Sampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from probe.errors import Problem, TrainingError
from probe.training.criteria.views import Counts
from probe.training.parts import TrainingPart
from probe.training.trainer.batches import Collate, Corpus, GlobalBatches
from probe.training.trainer.distiller import Distiller
from probe.training.trainer.saving import TRAINER_STATE, Saver, whole_directory


class EpochOrder(TrainerCallback):
    """Tell the sampler which epoch begins, in a resumed run too."""

    def __init__(self, sampler: GlobalBatches) -> None:
        self.sampler = sampler

    def on_epoch_begin(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        """See the class."""
        self.sampler.epoch = int(state.epoch or 0)


class _Averages(TrainerCallback):
    """Go on with the averages of the checkpoint that a run goes on from; transformers begins them anew."""

    def __init__(self, trainer: "DistillationTrainer") -> None:
        self.trainer = trainer

    def on_train_begin(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        """See the class."""
        self.trainer.restore_averages()


class DistillationTrainer(Trainer):
    """A `Trainer` for a `Distiller`.

    The loss of every part of a batch is a sum divided by the token counts of the whole batch, over accumulated parts
    and processes, so that how it is cut changes nothing but rounding.
    """

    def __init__(
        self,
        model: Distiller,
        arguments: TrainingArguments,
        part: TrainingPart,
        collate: Collate,
        sampler: GlobalBatches,
        saver: Saver,
    ) -> None:
        super().__init__(
            model=model,
            args=arguments,
            data_collator=collate,
            train_dataset=Corpus(len(sampler.lengths)),
            callbacks=[EpochOrder(sampler)],
        )
        self.remove_callback(PrinterCallback)
        self.add_callback(_Averages(self))
        self.part, self.sampler, self.saver = part, sampler, saver
        # The loss is divided by global counts already, so that accumulation must not divide it again.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True
        self.targets_seen = 0
        """Student targets of all processes since the run was started."""
        self._parts: dict[str, Tensor] = {}
        self._steps_logged = 0
        self._averages: dict[str, Any] | None = None
        self._saved = -1

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return self.sampler

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor:
        counts = torch.zeros(len(Counts._fields), dtype=torch.long, device=device)
        for batch in batch_samples:
            counts[0] += batch["student_mask"].sum()
            if "teacher_mask" in batch:
                counts[1] += batch["teacher_mask"].sum()
            if "links" in batch:
                counts[2] += batch["links"].sum()
        total: Any = self.accelerator.reduce(counts)
        self.targets_seen += int(total[0])
        return total

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The loss of one part of the global batch, whose counts are ``num_items_in_batch``.

        Raises:
            TrainingError: it is not finite.
        """
        if num_items_in_batch is None:
            num_items_in_batch = self._get_num_items_in_batch([inputs], self.args.device)
        # Of the optimizer's steps: the same for all parts of a batch, and a resumed run has it from its checkpoint.
        done = self.state.global_step / max(self.state.max_steps, 1)
        found = model(inputs, Counts(*num_items_in_batch.tolist()), done)
        loss = found["loss"]
        if not math.isfinite(loss.item()):
            where = f"step {self.state.global_step}"
            raise TrainingError(Problem(where, "a finite loss", str(loss.item()), "Lower the learning rate."))
        for key, value in found["log"].items():
            self._parts[key] = self._parts.get(key, torch.zeros_like(value)) + value
        # Processes average their gradients; theirs are shares of one sum.
        loss = loss * self.accelerator.num_processes
        return (loss, found) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the parts of the loss, as means over the steps since the last time."""
        steps = self.state.global_step - self._steps_logged
        if steps and self._parts:
            keys = sorted(self._parts)
            sums = torch.stack([self._parts[key].float() for key in keys])
            total: Any = self.accelerator.reduce(sums)
            means = total / steps
            logs = logs | {key: value for key, value in zip(keys, means.tolist(), strict=True) if key != "loss"}
            self._parts, self._steps_logged = {}, self.state.global_step
        super().log(logs, start_time)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW with three rates: of the student, of projectors, and of a trained critic."""
        if self.optimizer is None:
            distiller = unwrapped(self.model if model is None else model)
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, None)
            self.optimizer = kind(parameter_groups(distiller, self.part), **options)
        return self.optimizer

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        distiller = unwrapped(model)
        critic = distiller.criterion.trained_networks
        networks = set(distiller.criterion.networks.parameters()) if distiller.criterion.networks is not None else set()
        if critic:
            self.accelerator.clip_grad_norm_(critic, self.part.critic_clip)
        rest = [parameter for parameter in model.parameters() if parameter not in networks]
        return self.accelerator.clip_grad_norm_(rest, self.part.clip)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        run = Path(str(self.args.output_dir))
        target = run / f"checkpoint-{self.state.global_step}"
        if self._saved == self.state.global_step:  # the end of an epoch can be the last step as well
            return
        self._saved = self.state.global_step
        with whole_directory(target, is_main=self.args.should_save, wait=self.accelerator.wait_for_everyone) as place:
            if self.args.should_save:
                self.saver.save(unwrapped(model), self.state.global_step, place)
            # No run goes on from its end, and Adam's moments take twice the room of the weights.
            if self.state.global_step < self.state.max_steps:
                self._save_optimizer_and_scheduler(str(place))
                self._save_rng_state(str(place))
                self._save_averages(place)
            if self.args.should_save:
                self.state.save_to_json(str(place / TRAINER_STATE))
        if self.args.should_save:
            self.saver.rotate(run)

    def _save_averages(self, place: Path) -> None:
        """Sums since the last line of the log, of this process, so that a resumed run writes the same lines."""
        sums = {
            "parts": self._parts,
            "steps_logged": self._steps_logged,
            "loss": self._tr_loss,
            "loss_logged": self._globalstep_last_logged,
        }
        torch.save(sums, place / _averages_name(self.args))

    def restore_averages(self) -> None:
        """Those of the checkpoint that the run goes on from; a run that begins has none."""
        # A checkpoint of an earlier version has no such file: its averages begin with the steps to come.
        self._steps_logged = self.state.global_step
        if self._averages is not None:
            self._parts, self._steps_logged = self._averages["parts"], self._averages["steps_logged"]
            self._tr_loss = self._averages["loss"]
            self._globalstep_last_logged = self._averages["loss_logged"]

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        place = Path(resume_from_checkpoint)
        self.saver.load(unwrapped(self.model if model is None else model), place)
        sums = place / _averages_name(self.args)
        if sums.is_file():
            self._averages = torch.load(sums, map_location=self.args.device, weights_only=True)


def _averages_name(arguments: TrainingArguments) -> str:
    return f"averages-{arguments.process_index}.pt"


def unwrapped(model: Any) -> Distiller:
    """The module inside of what a process group or an engine has wrapped around it."""
    while not isinstance(model, Distiller):
        model = model.module
    return model


def parameter_groups(distiller: Distiller, part: TrainingPart) -> list[dict[str, Any]]:
    """Student weights with decay and those without (vectors), projectors, and the critic's networks if they train."""
    student = [p for p in distiller.student.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in student if p.ndim > 1], "weight_decay": part.weight_decay, "lr": part.learning_rate},
        {"params": [p for p in student if p.ndim <= 1], "weight_decay": 0.0, "lr": part.learning_rate},
        {
            "params": [p for p in distiller.criterion.projectors.parameters() if p.requires_grad],
            "weight_decay": part.weight_decay,
            "lr": part.projector_learning_rate,
        },
        {
            "params": distiller.criterion.trained_networks,
            "weight_decay": part.weight_decay,
            "lr": part.critic_learning_rate,
        },
    ]
    return [group for group in groups if group["params"]]
