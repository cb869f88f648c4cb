"""A callback for any Trainer of transformers: alignment health at the first step, and an attention as it learns."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from transformers import TrainerCallback

from probe.errors import ArgumentError
from probe.plots.heatmaps.heatmap import heatmap
from probe.watch.attention import CALL, Attention, Exam, attention_figures, exam
from probe.watch.batches import texts_of
from probe.watch.health import AlignmentHealth, health_of
from probe.watch.loggers import Loggers
from probe.watch.marks import template_findings
from probe.watch.side import Side

PICTURES = 5
"""Measurements from one picture to the next: to draw takes longer than to score."""


class AlignmentCallback(TrainerCallback):
    """Watches the alignment of two tokenizers in a Trainer of transformers or TRL, ``GOLDTrainer`` among them.

    At the first step it prints the health of the alignment on the batch that the student really reads, sampled
    completions too. Then it logs that at each interval, as ``alignment/coverage`` and so on. With an attention it logs
    top-1, MRR, mass at the common entropy, repeat confusion and, where A' is given, decoded top-1, each with both ends
    of its 95 % CI, and at the first and each fifth measurement a heatmap. Figures go to ``state.log_history`` and to
    those of TensorBoard and W&B that ``report_to`` names.

    The batch is seen by a hook on the forward pass of the student: a Trainer gives batches to no callback. Several
    processes each see their own batches; the first one logs.

    Args:
        student_tokenizer: what `align_tokens` takes.
        teacher_tokenizer: likewise.
        every: steps from one measurement to the next; default: as often as a Trainer logs by default.
        attention: what `score_attention` takes.
        texts: responses to score the attention on; default: 64 texts of the gold data.

    Raises:
        ArgumentError: an argument is not what it should be.
        CheckpointError: there is no tokenizer of this name.

    Example:
        >>> import probe
        >>> callback = probe.AlignmentCallback("bundled:demo/student", "bundled:demo/teacher", every=50)
        >>> # trainer = GOLDTrainer(…, callbacks=[callback])
        >>> callback.health is None  # until the first step
        True
    """

    def __init__(
        self,
        student_tokenizer: object,
        teacher_tokenizer: object,
        *,
        every: int = 500,
        attention: Attention | None = None,
        texts: Sequence[str] | None = None,
    ) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ArgumentError.of("every", "a number of steps, at least 1", every, "Write every=500.")
        if attention is not None and not callable(attention):
            raise ArgumentError.of("attention", "a function of two lists of ids", attention, CALL)
        self.sides = Side.of(student_tokenizer, "student"), Side.of(teacher_tokenizer, "teacher")
        self.every = every
        self.attention = attention
        self.exam: Exam | None = None if attention is None else exam(*self.sides, texts)
        self.health: AlignmentHealth | None = None
        """That of the last batch that was measured."""
        self._measured = 0
        self._wanted = False
        self._batch: tuple[Any, Any] | None = None
        self._hook: Any = None
        self._loggers: Loggers | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin to watch the student."""
        self.on_train_end(args, state, control)  # a training that failed had no end
        self.health, self._measured = None, 0
        if state.is_world_process_zero:
            self._loggers = Loggers(args)
            self._hook = kwargs["model"].register_forward_pre_hook(self._see, with_kwargs=True)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask for the batch of a step that is measured."""
        self._batch, self._wanted = None, not self._measured or (state.global_step + 1) % self.every == 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measure."""
        if self._loggers is None or not self._wanted:
            return
        self._log_health(state, self._loggers)
        if self.exam is not None and self.attention is not None:
            self._log_attention(state, self._loggers, self.exam, self.attention)
        self._measured += 1

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the hook away, for the model outlives the training."""
        if self._hook is not None and self._loggers is not None:
            self._hook.remove()
            self._loggers.close()
            self._hook = self._loggers = None

    def _see(self, model: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Keep the first batch that the student learns from in a step; it samples without gradients."""
        import torch

        if self._wanted and self._batch is None and model.training and torch.is_grad_enabled():
            ids = named.get("input_ids", positional[0] if positional else None)
            self._batch = None if ids is None else (ids, named.get("attention_mask"))

    def _log_health(self, state: Any, loggers: Loggers) -> None:
        read = None if self._batch is None else texts_of(*self._batch, self.sides[0])
        self._batch = None
        first = self.health is None
        if read is None or not read.texts:
            if first:
                print("alignment: the student was given no input_ids at this step, so its texts are unknown")
            return
        found = health_of(read.texts, *self.sides, read.ids)
        if first:
            of_templates = (one for side in self.sides for one in template_findings(side))
            found = replace(found, findings=(*found.findings, *of_templates))
            lines = str(found).splitlines()
            print("\n".join(f"alignment, step {state.global_step}: {line}" for line in lines), flush=True)
        self.health = found
        loggers.scalars(state, found.figures())

    def _log_attention(self, state: Any, loggers: Loggers, exam: Exam, attention: Attention) -> None:
        import torch

        with torch.no_grad():
            report = exam.report(attention)
        figures: dict[str, float] = {}
        for name, one in attention_figures(report).items():
            ends = {name: one.value, f"{name}, low": one.low, f"{name}, high": one.high}
            figures |= {name: value for name, value in ends.items() if value is not None}
        loggers.scalars(state, figures)
        if loggers.shows_pictures and self._measured % PICTURES == 0:
            with torch.no_grad():
                shown = exam.map(attention, exam.shown)
            loggers.picture(state, "heatmap", heatmap(shown, gold=exam.rows[exam.shown]))
