"""``python -m probe.training``: pre-train projectors for a pair of models."""

import argparse
import sys
from pathlib import Path

from probe.errors import ProbeError
from probe.training.pretrain import PretrainSettings
from probe.training.run import PretrainRun, run_pretraining
from probe.training.terminal import quiet_transformers

DOLLY_PROMPT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n### Response:\n"
)


def main() -> int:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m probe.training", description=__doc__)
    parser.add_argument("--name", required=True, help="name of the checkpoint")
    parser.add_argument("--student", required=True, help="model directory, or cache:NAME/student")
    parser.add_argument("--teacher", required=True, help="model directory, or cache:NAME/teacher")
    parser.add_argument("--train", required=True, type=Path, help="jsonl with the fields prompt and output")
    parser.add_argument(
        "--prompt", default=DOLLY_PROMPT, help="template of the prompts; its last token is the first row's input"
    )
    parser.add_argument("--out", required=True, type=Path, help="directory of the run; a killed run there goes on")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=10)
    arguments = parser.parse_args()
    settings = PretrainSettings(
        steps=arguments.steps,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
    )
    run = PretrainRun(arguments.name, arguments.student, arguments.teacher, arguments.train, arguments.prompt, settings)
    quiet_transformers()
    try:
        print(run_pretraining(run, arguments.out))
    except ProbeError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
