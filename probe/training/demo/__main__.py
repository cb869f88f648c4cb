"""``python -m probe.training.demo DIR``: make the demo again, in a few minutes on two cores."""

import argparse
import json
import random
import sys
import time
from pathlib import Path

import torch

from probe.errors import ProbeError
from probe.models.tokenizer import Tokenizer
from probe.output.files import replacing_file
from probe.training.data.docstrings import PROMPT, docstring_examples
from probe.training.demo.language_models import new_student, new_teacher
from probe.training.demo.tokenizers import train_student_tokenizer, train_teacher_tokenizer
from probe.training.examples import Example, tokenize
from probe.training.language_model import LOSSES, save_float16, train_language_model
from probe.training.pretraining.run import PretrainRun, run_pretraining
from probe.training.projector_loop import LoopSettings
from probe.training.terminal import quiet_transformers

HELD_OUT, SEED = 100, 10


def main() -> int:
    """Build corpus, tokenizers, models and projectors; what is already there is kept."""
    parser = argparse.ArgumentParser(prog="python -m probe.training.demo", description=__doc__)
    parser.add_argument("directory", type=Path, help="where to build; the checkpoint is DIR/projectors/checkpoint")
    parser.add_argument("--epochs", type=int, default=8, help="of the two language models")
    parser.add_argument("--steps", type=int, default=3000, help="of projector pre-training")
    arguments = parser.parse_args()
    directory: Path = arguments.directory
    directory.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    quiet_transformers()
    try:
        train = _corpus(directory)
        for side in ("student", "teacher"):
            _model(side, train, directory, arguments.epochs)
        run = PretrainRun(
            name="demo",
            student=str(directory / "student"),
            teacher=str(directory / "teacher"),
            rows=train,
            prompt=PROMPT,
            settings=LoopSettings(steps=arguments.steps, batch_size=16, learning_rate=3e-3, seed=SEED),
        )
        print(run_pretraining(run, directory / "projectors"), f"{time.perf_counter() - began:.0f} s")
    except ProbeError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _corpus(directory: Path) -> list[Example]:
    rows = docstring_examples()
    random.Random(SEED).shuffle(rows)
    for name, part in (("train", rows[HELD_OUT:]), ("dev", rows[:HELD_OUT])):
        with replacing_file(directory / f"{name}.jsonl") as temporary:
            lines = (json.dumps({"prompt": e.prompt, "output": e.output}, ensure_ascii=False) + "\n" for e in part)
            temporary.write_text("".join(lines), encoding="utf-8")
    return rows[HELD_OUT:]


def _model(side: str, train: list[Example], directory: Path, epochs: int) -> None:
    place = directory / side
    if (place / LOSSES).is_file():
        return
    texts = [text for example in train for text in (example.prompt, example.output)]
    (train_student_tokenizer if side == "student" else train_teacher_tokenizer)(texts, place)
    tokenizer = Tokenizer.load(place)
    torch.manual_seed(SEED)
    model = (
        new_student(tokenizer.eos_id) if side == "student" else new_teacher(tokenizer.ids(["<s>"])[0], tokenizer.eos_id)
    )
    encoded = [tokenize(example, tokenizer) for example in train]
    loss = train_language_model(model, encoded, epochs=epochs, batch_size=16, learning_rate=3e-3, seed=SEED)
    save_float16(model, place)
    (place / LOSSES).write_text(json.dumps({"last_epoch_loss": loss, "epochs": epochs}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
