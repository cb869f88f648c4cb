"""``python -m probe.training``: pre-train projectors for a pair of models."""

import argparse
import sys
from pathlib import Path

from probe.checkpoints.dskd import PROMPT
from probe.errors import ProbeError
from probe.training.pretrain import pretrain


def main() -> int:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(
        prog="python -m probe.training", description="Pre-train projectors for a pair of models; both stay as they are."
    )
    parser.add_argument("--name", required=True, help="name of the checkpoint")
    parser.add_argument("--student", required=True, help="model directory, or cache:NAME/student")
    parser.add_argument("--teacher", required=True, help="model directory, or cache:NAME/teacher")
    parser.add_argument("--train", required=True, help="jsonl with the fields prompt and output, or docstrings")
    parser.add_argument(
        "--prompt", default=PROMPT, help="template of the prompts; its last token is the first row's input"
    )
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        help="directory of the run, which a killed run goes on in; the checkpoint is OUT/checkpoint",
    )
    parser.add_argument("--steps", type=int, default=2000, help="default %(default)s")
    parser.add_argument("--batch-size", type=int, default=8, help="default %(default)s")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=10, help="default %(default)s")
    arguments = parser.parse_args()
    try:
        run = pretrain(
            arguments.student,
            arguments.teacher,
            rows=arguments.train,
            out=arguments.out,
            steps=arguments.steps,
            batch_size=arguments.batch_size,
            learning_rate=arguments.learning_rate,
            seed=arguments.seed,
            name=arguments.name,
            prompt=arguments.prompt,
        )
        print(run.last)
    except ProbeError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{parser.prog}: stopped; the same command goes on from the last saved state", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
