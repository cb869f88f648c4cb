"""One model on one set: the scores of its responses, one row a decoding seed, and its bits per byte."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from probe.errors import Problem, TrainingError
from probe.output.reading import Wanted, parse_json
from probe.training.evaluation.generate import generate
from probe.training.evaluation.likelihood import Fitted, predicted
from probe.training.evaluation.questions import QuestionSet
from probe.training.evaluation.respond import Model, generation_settings
from probe.training.evaluation.rouge import Unit, score_each
from probe.training.parts import EvaluationPart

SCHEMA = 3


@dataclass(frozen=True)
class Evaluation:
    """What one model got for one set; scores are between 0 and 1, the best of each question's references."""

    questions: QuestionSet
    seeds: tuple[int, ...]
    """Of decoding, one for each row of the scores. None where decoding was greedy, and there is a single row, or where
    nothing was sampled, and there is no row."""
    responses: tuple[tuple[str, ...], ...]
    """By seed and question."""
    rouge_l: Float[np.ndarray, "seeds questions"]
    exact_match: Float[np.ndarray, "seeds questions"]
    bits_per_byte: float
    """Of the first references."""
    accuracy: float
    """The share of their tokens that the model holds most likely."""
    fitted: Fitted = field(default_factory=Fitted)
    """The same at a fitted temperature."""
    rouge_unit: Unit = "words"

    def to_json(self) -> str:
        """Everything, with prompts and responses."""
        document = {
            "schema": SCHEMA,
            "set": self.questions.name,
            "set_sha256": self.questions.digest(),
            "bits_per_byte": self.bits_per_byte,
            "accuracy": self.accuracy,
            "fitted": asdict(self.fitted),
            "seeds": self.seeds,
            "rouge_unit": self.rouge_unit,
            "questions": [
                {
                    "prompt": question.prompt,
                    "references": question.references,
                    "responses": [of_seed[n] for of_seed in self.responses],
                    "rouge_l": self.rouge_l[:, n].tolist(),
                    "exact_match": self.exact_match[:, n].tolist(),
                }
                for n, question in enumerate(self.questions.questions)
            ],
        }
        return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def read_evaluation(text: str, questions: QuestionSet, where: str) -> Evaluation:
    """The inverse of `Evaluation.to_json`, for the same set.

    Raises:
        TrainingError: it is of another set, or of another version of this package.
    """
    wanted = Wanted("an evaluation in JSON", "Delete it to evaluate again.", TrainingError)
    document: Any = parse_json(text, where, wanted)
    if not isinstance(document, dict):
        raise wanted.refusal(where, type(document).__name__)
    if document.get("schema") != SCHEMA or document.get("set_sha256") != questions.digest():
        expected = f"an evaluation on {questions.name}, schema {SCHEMA}"
        got = f"one on {document.get('set')}, schema {document.get('schema')}"
        raise TrainingError(Problem(where, expected, got, "Delete it to evaluate again."))
    rows, fitted = document["questions"], document["fitted"]
    return Evaluation(
        questions=questions,
        seeds=tuple(document["seeds"]),
        responses=tuple(zip(*(row["responses"] for row in rows), strict=True)),
        rouge_l=np.array([row["rouge_l"] for row in rows], dtype=np.float64).T,
        exact_match=np.array([row["exact_match"] for row in rows], dtype=np.float64).T,
        bits_per_byte=document["bits_per_byte"],
        accuracy=document["accuracy"],
        fitted=Fitted(**(fitted | {key: tuple(fitted[key]) for key in ("nats", "sizes")})),
        rouge_unit=document["rouge_unit"],
    )


def evaluate(asked: Model, questions: QuestionSet, part: EvaluationPart) -> Evaluation:
    """Let a model respond with each decoding seed, and score the responses and its likelihood of the references.

    Raises:
        TrainingError: the settings do not fit the model, or a prompt leaves no room for its reference.
        MissingExtraError: rouge-score is not installed.
    """
    model, tokenizer = asked
    settings = generation_settings(part)
    seeds = tuple(dict.fromkeys(part.seeds if settings.temperature else part.seeds[:1]))
    prompts = [question.prompt for question in questions.questions]
    responses = tuple(
        tuple(generate(model, tokenizer, prompts, settings, batch_size=part.batch_size, seed=seed)) for seed in seeds
    )
    rouge_l, exact_match = _scores(questions, responses, part.rouge)
    lengths = {"max_prompt": part.max_prompt, "max_length": part.max_length}
    found = predicted(model, tokenizer, questions.examples, **lengths, fit=True)
    recorded = seeds if settings.temperature else ()
    return Evaluation(questions, recorded, responses, rouge_l, exact_match, *found, part.rouge)


def _scores(
    questions: QuestionSet, responses: Sequence[Sequence[str]], unit: Unit
) -> Float[np.ndarray, "metrics=2 seeds questions"]:
    """ROUGE-L and exact match; of no seed where nothing was sampled."""
    references = [question.references for question in questions.questions]
    found = [[(one.rouge_l, one.exact_match) for one in score_each(each, references, unit)] for each in responses]
    return np.moveaxis(np.array(found, dtype=np.float64).reshape(len(responses), len(references), 2), -1, 0)
