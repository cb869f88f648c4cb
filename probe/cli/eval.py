"""``probe-eval``: sample responses of students, and compare them with reference responses."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from probe.cli.run import named, new_console, run, with_version, write_texts
from probe.errors import Problem, TrainingError

if TYPE_CHECKING:
    from probe.training.evaluation.summary import System
    from probe.training.parts import EvaluationPart


def parser() -> ArgumentParser:
    """What ``probe-eval`` takes."""
    parser = ArgumentParser(
        "probe-eval",
        description="Sample responses, score them by ROUGE-L and exact match, and measure bits per byte.",
        epilog="Models with the same LABEL are training seeds of one system: sft=runs/a/checkpoint-9 sft=runs/b/…",
    )
    parser.add_argument(
        "models", nargs="+", metavar="[LABEL=]MODEL", help="a checkpoint of a run, a model directory, or a hub id"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="[NAME=]PATH",
        help="a directory with test.jsonl or valid.jsonl, or a file; may be repeated; the first is in-domain; "
        "default: the rows that the run of each checkpoint held out",
    )
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="seeds of decoding; default 10 20 30 40 50")
    parser.add_argument(
        "--temperature", type=float, help="of sampling; default 1; with 0, always take the most likely token"
    )
    parser.add_argument(
        "--no-repeat-ngram",
        type=int,
        metavar="N",
        help="no sequence of N tokens occurs twice in a response; default 6, as published; 0 allows repeats",
    )
    parser.add_argument("--max-prompt", type=int, metavar="N", help="longest prompt, in tokens; default 256")
    parser.add_argument(
        "--max-length", type=int, metavar="N", help="longest prompt and response together, in tokens; default 512"
    )
    parser.add_argument("--max-rows", type=int, metavar="N", help="use only the first N rows of each set")
    parser.add_argument("--batch-size", type=int, metavar="N", help="does not change the responses; default 32")
    parser.add_argument(
        "--rouge",
        choices=("words", "characters"),
        help="what ROUGE-L compares; default words, as published: of a-z and 0-9, which Chinese text has none of",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results; .json.gz compresses")
    parser.add_argument("--latex", type=Path, metavar="FILE", help="write the table as LaTeX (booktabs)")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="keep responses here; a run that was stopped continues from them"
    )
    return with_version(parser)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    return run(parser(), _evaluate, argv)


def _evaluate(arguments: Namespace) -> None:
    from probe.training.terminal import quiet_transformers, require_train

    require_train()
    quiet_transformers()
    from probe.output.files import check_directory, check_place
    from probe.training.evaluation.report import latex, reading, table, to_json

    for path in (arguments.json, arguments.latex):
        if path is not None:
            check_place(path)
    if arguments.out is not None:
        check_directory(arguments.out)
    systems = _systems(arguments, _settings(arguments))
    write_texts({arguments.json: lambda: to_json(systems), arguments.latex: lambda: latex(systems)})
    console = new_console()
    console.print(table(systems))
    console.print("\n".join(reading(systems)))


def _settings(arguments: Namespace) -> "EvaluationPart":
    from probe.training.parts import EvaluationPart
    from probe.training.recipe import part_of

    sets: dict[str, str] = {}
    for argument in arguments.set:
        label, path = named(argument)
        name = label or Path(path).resolve().stem
        if name in sets:
            raise TrainingError(
                Problem(f"--set {argument}", "a different name for each set", f"{name} twice", "Write NAME=PATH.")
            )
        sets[name] = path
    given = {
        "sets": sets,
        "seeds": arguments.seeds,
        "temperature": arguments.temperature,
        "no_repeat_ngram_size": arguments.no_repeat_ngram,
        "max_prompt": arguments.max_prompt,
        "max_length": arguments.max_length,
        "max_rows": arguments.max_rows,
        "batch_size": arguments.batch_size,
        "rouge": arguments.rouge,
    }
    return part_of(EvaluationPart, {key: value for key, value in given.items() if value is not None}, "probe-eval")


def _systems(arguments: Namespace, part: "EvaluationPart") -> "list[System]":
    from probe.training.evaluation.run import asked_models, evaluate_models

    labelled = [named(model) for model in arguments.models]
    models = [(label or _short(source), source) for label, source in labelled]
    return evaluate_models(asked_models(models), part, arguments.out)


def _short(source: str) -> str:
    """The last two parts of a path or hub id, as its name in a table."""
    return "/".join(source.rstrip("/").replace(":", "/").split("/")[-2:])


if __name__ == "__main__":
    sys.exit(main())
