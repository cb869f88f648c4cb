"""``python -m probe.training.teacher.seqkd``: the teacher's responses to a corpus, for sequence-level distillation."""

import argparse
import sys
from pathlib import Path
from typing import get_args

from probe.checkpoints.dskd import MAX_LENGTH, MAX_PROMPT
from probe.errors import ProbeError
from probe.training.data.corpus import Split
from probe.training.terminal import quiet_transformers, require_train


def main() -> int:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(
        prog="python -m probe.training.teacher.seqkd",
        description="Let a teacher write the responses of a corpus, for sequence-level distillation.",
    )
    parser.add_argument("--teacher", required=True, help="model directory, or cache:NAME/teacher")
    parser.add_argument(
        "--data", required=True, help="directory with train.jsonl and the like, or a file; fields prompt and output"
    )
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        help="directory, which a killed run goes on in; the file is OUT/SPLIT.jsonl, and has the field reference, too",
    )
    parser.add_argument("--split", choices=get_args(Split), default="train", help="default %(default)s")
    parser.add_argument("--seed", type=int, default=10, help="of sampling; default %(default)s")
    parser.add_argument("--batch-size", type=int, default=8, help="changes no response; default %(default)s")
    decoding = parser.add_mutually_exclusive_group()
    decoding.add_argument("--temperature", type=float, default=1.0, help="of sampling; default %(default)s")
    decoding.add_argument(
        "--greedy", dest="temperature", action="store_const", const=0.0, help="take the likeliest token instead"
    )
    parser.add_argument("--max-prompt", type=int, default=MAX_PROMPT, help="tokens; default %(default)s")
    parser.add_argument(
        "--max-length", type=int, default=MAX_LENGTH, help="tokens of prompt and response; default %(default)s"
    )
    arguments = parser.parse_args()
    try:
        require_train()
        from probe.training.evaluation.generate import GenerationSettings
        from probe.training.teacher.responses import ResponseRun, write_responses

        quiet_transformers()
        settings = GenerationSettings(
            temperature=arguments.temperature, max_prompt=arguments.max_prompt, max_length=arguments.max_length
        )
        run = ResponseRun(
            teacher=arguments.teacher,
            data=arguments.data,
            split=arguments.split,
            settings=settings,
            seed=arguments.seed,
            batch_size=arguments.batch_size,
        )
        print(write_responses(run, arguments.out))
    except ProbeError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{parser.prog}: stopped; the same command goes on behind the last response", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
