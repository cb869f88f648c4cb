"""Sets of questions, the models that are asked, and the scores of what they say."""

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from directories import TEXTS, save_model
from safetensors.torch import load_file, save_file
from trainer_runs import recipe_of, save_pair

from probe.errors import CheckpointError, TrainingError
from probe.models.tokenizer import Tokenizer
from probe.training.evaluation.evaluate import Evaluation, evaluate, read_evaluation
from probe.training.evaluation.generate import GenerationSettings, generate
from probe.training.evaluation.likelihood import predicted
from probe.training.evaluation.questions import Question, QuestionSet, held_out, read_sets
from probe.training.evaluation.report import latex, reading, to_json
from probe.training.evaluation.respond import Model, generation_settings, load_model, model_directory
from probe.training.evaluation.rouge import exact_match, rouge_l
from probe.training.evaluation.summary import System
from probe.training.examples import Example
from probe.training.parts import EvaluationPart
from probe.training.trainer.run import train
from probe.training.trainer.saving import STUDENT

SAMPLED = EvaluationPart(seeds=[3, 1], max_prompt=24, max_length=48, no_repeat_ngram_size=0)
GREEDY = SAMPLED.model_copy(update={"temperature": 0.0})
QUESTIONS = QuestionSet(
    "tiny",
    (
        Question("Return the path.", ("the path of the file", "the file")),
        Question("a", ("b",)),
        Question("Read a naïve café menu; read it twice.", ("naïve", "the", "path of it")),
        Question("Write", ("a response",)),
        Question("The file is closed, and the file", ("京都", "Write a response.")),
    ),
)
SILENT_PEFT = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # of transformers


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def model(place: Path) -> Model:
    found = load_model(place / "student")
    with torch.no_grad():  # as they are initialised, GPT-2's positions would hardly change a thing
        found.model.transformer.wpe.weight.normal_(std=0.7, generator=torch.Generator().manual_seed(0))
    return found


def write(file: Path, *rows: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return file


def read(source: Path, max_rows: int | None = None) -> tuple[Question, ...]:
    (found,) = read_sets({"a": str(source)}, max_rows)
    return found.questions


# Questions


def test_a_set_is_a_directory_with_either_file_or_a_file(tmp_path: Path):
    row, other = {"prompt": "a\n", "output": "b"}, {"prompt": "c", "output": "d"}
    write(tmp_path / "valid" / "valid.jsonl", row)
    write(tmp_path / "both" / "valid.jsonl", other)
    write(tmp_path / "both" / "test.jsonl", row)
    file = write(tmp_path / "some.jsonl", row)
    sets = read_sets({name: str(tmp_path / name) for name in ("valid", "both")} | {"third": str(file)})
    assert [one.name for one in sets] == ["valid", "both", "third"]
    for one in sets:
        assert one.questions == (Question("a\n", ("b",)),)


def test_an_output_may_be_a_list_of_references_of_which_the_first_stands_for_likelihood(tmp_path: Path):
    file = write(tmp_path / "a.jsonl", {"prompt": "a", "output": ["b", "ç", "b"]}, {"prompt": "c", "output": "d"})
    found = QuestionSet("a", read(file))
    assert [question.references for question in found.questions] == [("b", "ç", "b"), ("d",)]
    assert found.examples == [Example("a", "b"), Example("c", "d")]


def test_further_fields_and_the_number_of_rows_are_free(tmp_path: Path):
    rows = [{"prompt": f"{n}", "output": "b", "topic": n} for n in range(5)]
    file = write(tmp_path / "a.jsonl", *rows)
    assert [question.prompt for question in read(file, 2)] == ["0", "1"]
    assert len(read(file)) == len(read(file, 9)) == 5


def test_the_digest_is_of_prompts_and_references_in_order():
    first, second = Question("a", ("b", "c")), Question("d", ("e",))
    digest = QuestionSet("x", (first, second)).digest()
    assert QuestionSet("y", (first, second)).digest() == digest
    for others in (
        (second, first),
        (first,),
        (first, second, second),
        (replace(first, references=("c", "b")), second),
        (replace(first, references=("b",)), second),
        (replace(first, prompt="a "), second),
    ):
        assert QuestionSet("x", others).digest() != digest


BAD = [
    "no json",
    {"prompt": "a"},
    {"output": "a"},
    {"prompt": "", "output": "a"},
    {"prompt": "a", "output": " "},
    {"prompt": "a", "output": []},
    {"prompt": "a", "output": ["b", 3]},
    {"prompt": "a", "output": ["b", None]},
    {"prompt": "a", "output": 7},
    ["a", "b"],
    '{"prompt": "a", "output": "\\ud800"}',
]


def test_bad_rows_are_all_listed_with_their_line(tmp_path: Path):
    good = {"prompt": "a", "output": "b"}
    write(tmp_path / "valid.jsonl", good, *BAD, good)
    with pytest.raises(TrainingError) as caught:
        read(tmp_path)
    assert [problem.where for problem in caught.value.problems] == [f"valid.jsonl:{n + 2}" for n in range(len(BAD))]


@pytest.mark.parametrize("reference", ["\\ud800", "", " \\n"])
def test_every_reference_is_held_to_what_the_first_is_held_to(tmp_path: Path, reference: str):
    """Half a character cannot be hashed or written; nothing at all would be met by who says nothing."""
    file = write(tmp_path / "a.jsonl", f'{{"prompt": "a", "output": ["b", "{reference}"]}}')
    with pytest.raises(TrainingError, match=r"a\.jsonl:1: expected"):
        QuestionSet("a", read(file)).digest()


def test_a_set_that_is_not_there_or_empty_is_named(tmp_path: Path):
    with pytest.raises(TrainingError, match=r"none: expected a jsonl file, or a directory.*no such file"):
        read(tmp_path / "none")
    with pytest.raises(TrainingError, match=r"test\.jsonl or valid\.jsonl; got neither of them in it"):
        read(tmp_path)
    (tmp_path / "valid.jsonl").touch()
    with pytest.raises(TrainingError, match=r"valid\.jsonl: expected at least one question; got none"):
        read(tmp_path)


def test_held_out_rows_are_a_set_and_none_are_an_error():
    assert held_out([Example("a", "b")]) == QuestionSet("held-out", (Question("a", ("b",)),))
    with pytest.raises(TrainingError, match=r"evaluation: expected dev rows or a set; got neither"):
        held_out([])


# Scores


def near_to_what_is_said(model: Model) -> QuestionSet:
    """The questions with one more reference each, which is most of a response: random models meet no other."""
    said = evaluate(model, QUESTIONS, SAMPLED).responses[1]
    pairs = zip(QUESTIONS.questions, said, strict=True)
    return QuestionSet("near", tuple(replace(q, references=(*q.references, text[:-4])) for q, text in pairs))


def test_scores_are_those_of_the_responses_and_the_best_of_each_ones_references(model: Model):
    asked = near_to_what_is_said(model)
    found = evaluate(model, asked, SAMPLED)
    assert found.seeds == (3, 1)
    assert found.rouge_l.shape == found.exact_match.shape == (2, 5)
    assert len({text for of_seed in found.responses for text in of_seed}) == 10  # seeds and questions differ
    prompts = [question.prompt for question in asked.questions]
    for row, seed in enumerate(found.seeds):
        texts = generate(*model, prompts, generation_settings(SAMPLED), batch_size=5, seed=seed)
        assert found.responses[row] == tuple(texts)
        for n, question in enumerate(asked.questions):
            each = [rouge_l(texts[n], one) for one in question.references]
            assert found.rouge_l[row, n] == max(each)
            assert found.exact_match[row, n] == any(exact_match(texts[n], one) for one in question.references)
    assert 0 < found.rouge_l.mean() < 1
    lengths = {"max_prompt": 24, "max_length": 48}
    alone = found.bits_per_byte, found.accuracy, found.fitted
    assert alone == predicted(*model, asked.examples, **lengths, fit=True)
    assert alone[:2] == predicted(*model, asked.examples, **lengths)[:2]  # the fit changes neither


def test_without_decoding_seeds_nothing_is_sampled_and_likelihoods_are_as_ever(model: Model):
    found = evaluate(model, QUESTIONS, SAMPLED.model_copy(update={"seeds": []}))
    assert (found.seeds, found.responses) == ((), ())
    assert found.rouge_l.shape == found.exact_match.shape == (0, len(QUESTIONS.questions))
    lengths = {"max_prompt": 24, "max_length": 48}
    alone = found.bits_per_byte, found.accuracy, found.fitted
    assert alone == predicted(*model, QUESTIONS.examples, **lengths, fit=True)
    assert read_evaluation(found.to_json(), QUESTIONS, "here").to_json() == found.to_json()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        system = System("a", {1: [found], 2: [found]})
        assert system.figure("rouge_l", "tiny") == system.figure("exact_match", "tiny")
        assert system.figure("rouge_l", "tiny").mean.value is None
        assert json.loads(to_json([system]))["systems"]["a"]["sets"]["tiny"]["rouge_l"]["mean"] is None
        assert reading([system])[0].startswith("Decoding: none, likelihoods alone.")
        assert latex([system])


def test_the_best_reference_counts_wherever_it_stands(model: Model):
    said = evaluate(model, QUESTIONS, GREEDY).responses[0]
    best = [[rouge_l(text, text) for text in said]]  # 0 where no word is written in a-z and 0-9
    assert sum(best[0]) > 2
    for references in ((said, ("zzz",) * 5), (("zzz",) * 5, said), (said, said)):
        asked = QuestionSet(
            "a",
            tuple(
                Question(q.prompt, r) for q, r in zip(QUESTIONS.questions, zip(*references, strict=True), strict=True)
            ),
        )
        found = evaluate(model, asked, GREEDY)
        assert found.exact_match.tolist() == [[1] * 5]
        assert found.rouge_l.tolist() == best


def test_one_more_reference_can_raise_a_score_and_never_lowers_it(model: Model):
    few, many = evaluate(model, QUESTIONS, SAMPLED), evaluate(model, near_to_what_is_said(model), SAMPLED)
    assert many.responses == few.responses
    assert (many.rouge_l >= few.rouge_l).all()
    assert (many.rouge_l > few.rouge_l).any()
    assert many.bits_per_byte == few.bits_per_byte  # of the first references


@pytest.mark.parametrize("part", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_the_batch_size_changes_no_response_and_no_score(model: Model, part: EvaluationPart):
    first, *others = (
        evaluate(model, QUESTIONS, part.model_copy(update={"batch_size": size})) for size in (1, 2, 3, 5, 32)
    )
    assert len(set(first.responses[0])) == 5  # a model that says one thing to all would prove nothing
    for other in others:
        assert other.to_json() == first.to_json()


def test_greedy_decoding_has_one_row_whatever_the_seeds(model: Model):
    found = evaluate(model, QUESTIONS, GREEDY)
    assert found.seeds == ()
    assert found.rouge_l.shape == (1, 5)
    other = evaluate(model, QUESTIONS, GREEDY.model_copy(update={"seeds": [7]}))
    assert other.to_json() == found.to_json()


def test_the_first_rows_of_a_set_have_the_responses_they_have_in_the_whole(model: Model):
    some = replace(QUESTIONS, questions=QUESTIONS.questions[:2])
    whole, part = evaluate(model, QUESTIONS, SAMPLED), evaluate(model, some, SAMPLED)
    assert part.responses == tuple(of_seed[:2] for of_seed in whole.responses)


def test_an_evaluation_comes_back_from_its_json(model: Model):
    found = evaluate(model, QUESTIONS, SAMPLED)
    text = found.to_json()
    back = read_evaluation(text, QUESTIONS, "here")
    assert back.to_json() == text
    assert (back.questions, back.seeds, back.responses) == (found.questions, found.seeds, found.responses)
    assert (back.bits_per_byte, back.accuracy, back.fitted) == (found.bits_per_byte, found.accuracy, found.fitted)
    for name in ("rouge_l", "exact_match"):
        np.testing.assert_array_equal(getattr(back, name), getattr(found, name), strict=True)
    document = json.loads(text)
    assert "naïve café" in text
    assert document["questions"][0]["references"] == ["the path of the file", "the file"]
    assert [len(one["responses"]) for one in document["questions"]] == [2] * 5


def test_an_evaluation_of_other_questions_or_of_another_schema_is_refused(model: Model):
    text = evaluate(model, QUESTIONS, GREEDY).to_json()
    other = replace(QUESTIONS, name="other", questions=QUESTIONS.questions[1:])
    with pytest.raises(TrainingError, match=r"here: expected an evaluation on other, schema 3; got one on tiny"):
        read_evaluation(text, other, "here")
    for change in ({"schema": 0}, {"schema": None}, {"set_sha256": "0"}):
        with pytest.raises(TrainingError, match="Delete it to evaluate again"):
            read_evaluation(json.dumps(json.loads(text) | change), QUESTIONS, "here")


def test_settings_are_those_of_the_publication_but_for_what_is_changed():
    published = GenerationSettings(no_repeat_ngram_size=6)
    assert generation_settings(EvaluationPart()) == published
    assert generation_settings(EvaluationPart(), no_repeat_ngram_size=0) == replace(published, no_repeat_ngram_size=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_length": 65}, "max_length: expected at most 64 tokens; got 65"),
        ({"max_length": 24}, "max_length: expected more than max_prompt, 24"),
        ({"no_repeat_ngram_size": 1}, "no_repeat_ngram_size: expected 0, or 2 and more"),
        ({"seeds": [-1]}, "a seed from 0"),
    ],
)
def test_settings_that_do_not_fit_are_named(model: Model, change: dict[str, Any], message: str):
    with pytest.raises(TrainingError, match=message):
        evaluate(model, QUESTIONS, SAMPLED.model_copy(update=change))


def test_scores_out_of_shape_are_noticed_while_tests_run(model: Model):
    found = evaluate(model, QUESTIONS, GREEDY)
    with pytest.raises(Exception, match="rouge_l"):
        Evaluation(QUESTIONS, (0,), found.responses, np.zeros(5), found.exact_match, 1.0, 0.5)


# Models


@pytest.fixture(scope="module")
def runs(place: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The last checkpoint of a run with each kind of student."""
    base = tmp_path_factory.mktemp("runs")
    parts: dict[str, dict[str, Any]] = {
        "all": {"student": {"train": "all"}, "training": {"save_projectors_every": 1, "learning_rate": 0.05}},
        "body": {"student": {"train": "body"}, "training": {"learning_rate": 0.05}},
        "lora": {"student": {"train": "lora"}, "training": {"learning_rate": 0.05}},
        "nothing": {"student": {"train": "nothing"}},
    }
    made: dict[str, Path] = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        for name, part in parts.items():
            recipe = recipe_of(place, base / f"{name}.toml", **part)
            made[name] = train(recipe, base / name, say=lambda _: None)
    return made


def logits(model: Any, tokenizer: Tokenizer) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([tokenizer.encode(TEXTS[1])])).logits


@SILENT_PEFT
@pytest.mark.parametrize("kind", ["all", "body", "lora", "nothing"])
def test_the_model_of_a_checkpoint_is_the_student_that_was_trained(kind: str, place: Path, runs: dict[str, Path]):
    base = transformers.AutoModelForCausalLM.from_pretrained(place / "student", dtype=torch.float32)
    expected = base
    if kind in ("all", "body"):
        expected = transformers.AutoModelForCausalLM.from_pretrained(runs[kind] / STUDENT, dtype=torch.float32)
    if kind == "lora":
        from peft import PeftModel

        expected = PeftModel.from_pretrained(
            transformers.AutoModelForCausalLM.from_pretrained(place / "student", dtype=torch.float32),
            runs[kind] / STUDENT,
        ).eval()
    found = load_model(model_directory(str(runs[kind])))
    ours, theirs = logits(*found), logits(expected.eval(), found.tokenizer)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert torch.equal(ours, logits(base.eval(), found.tokenizer)) == (kind == "nothing")
    assert not any(parameter.requires_grad for parameter in found.model.parameters())
    assert not any(module.training for module in found.model.modules())
    assert "lora" not in " ".join(key for key, _ in found.model.named_parameters())
    assert found.tokenizer.encode(TEXTS[2]) == Tokenizer.load(place / "student").encode(TEXTS[2])


def test_a_frozen_students_checkpoint_names_the_student_that_it_is_of(place: Path, runs: dict[str, Path]):
    assert not (runs["nothing"] / STUDENT).exists()
    assert model_directory(str(runs["nothing"])) == place / "student"


def test_a_model_directory_is_the_model(place: Path):
    assert model_directory(str(place / "teacher")) == place / "teacher"
    found = load_model(place / "teacher")
    assert found.model.config.model_type == "llama"
    assert len(evaluate(found, QUESTIONS, GREEDY).responses[0]) == 5


@SILENT_PEFT
def test_every_kind_of_model_can_be_evaluated(runs: dict[str, Path]):
    said = {
        kind: evaluate(load_model(model_directory(str(path))), QUESTIONS, SAMPLED).responses
        for kind, path in runs.items()
    }
    assert len(set(said.values())) >= 3  # adapters that begin at 0 have hardly moved in two steps


def test_an_embedding_table_alone_is_no_model(runs: dict[str, Path]):
    """Beside projectors lies the table they are read with; transformers would draw all other weights at random."""
    projectors = runs["all"].parent / "projectors" / "step-1"
    assert (projectors / STUDENT / "model.safetensors").is_file()
    with pytest.raises(TrainingError, match="expected a causal language model"):
        load_model(model_directory(str(projectors)))


def test_a_model_that_lacks_a_weight_is_refused(place: Path, tmp_path: Path):
    shutil.copytree(place / "student", tmp_path / "student")
    file = tmp_path / "student" / "model.safetensors"
    tensors = load_file(file)
    tensors.pop(next(key for key in tensors if "c_fc.weight" in key))
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(TrainingError, match="expected a causal language model"):
        load_model(tmp_path / "student")


def test_what_is_no_model_is_named(place: Path, tmp_path: Path):
    with pytest.raises(TrainingError, match=r"/no/such: expected a model directory or a hub id; got neither"):
        model_directory("/no/such")
    with pytest.raises(CheckpointError, match=r"expected a tokenizer\.json; got none"):
        load_model(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(place / "student" / name, tmp_path)
    with pytest.raises(TrainingError, match=r"expected a causal language model; got .*Name a whole model"):
        load_model(tmp_path)


def test_a_broken_file_of_weights_is_one_message(place: Path, tmp_path: Path):
    shutil.copytree(place / "student", tmp_path / "student")
    (tmp_path / "student" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(TrainingError, match="expected a causal language model"):
        load_model(tmp_path / "student")


def test_a_head_with_more_than_weights_is_refused(tmp_path: Path):
    place = save_model("gemma3", tmp_path / "gemma")
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(config | {"final_logit_softcapping": 0.1}))
    with pytest.raises(TrainingError, match="expected logits = states @ head"):
        load_model(place)
