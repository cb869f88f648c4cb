import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from trainer_runs import content, write_recipe

from probe.errors import TrainingError
from probe.training.criteria.settings import Objective
from probe.training.parts import EvaluationPart, ReproductionPart
from probe.training.recipe import SHIPPED, Recipe, part_of, read_any_recipe, read_recipe, read_recipe_of_run

SHIPPED_NAMES = sorted(file.stem for file in SHIPPED.glob("*.toml"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_recipe(tmp_path / "tiny.toml", content(Path("place")))


def value(recipe: Recipe, key: str) -> Any:
    found: Any = recipe
    for part in key.split("."):
        found = getattr(found, part)
    return found


def problems(file: Path, *overrides: str) -> Sequence[str]:
    with pytest.raises(TrainingError) as caught:
        read_recipe(str(file), overrides)
    return [str(problem) for problem in caught.value.problems]


# Shipped


@pytest.mark.parametrize("name", SHIPPED_NAMES)
def test_a_shipped_recipe_is_read_by_name_and_by_path_and_knows_its_name(name: str):
    recipe = read_any_recipe(name)
    assert recipe.name == name
    assert recipe == read_any_recipe(str(SHIPPED / f"{name}.toml"))
    for run in recipe.runs():
        assert not isinstance(run, Recipe) or isinstance(run.objective.objective(), Objective)


@pytest.mark.parametrize("name", ["gpt2-qwen1.5", "paper"])
def test_the_papers_recipes_have_the_papers_numbers(name: str):
    expected = {
        "seed": 10,
        "student.source": "openai-community/gpt2",
        "student.train": "all",
        "teacher.source": "Qwen/Qwen1.5-1.8B",
        "data.max_prompt": 256,
        "data.max_length": 512,
        "objective.method": "cma-ga",
        "objective.kd_rate": 0.5,
        "objective.temperature": 2.0,
        "objective.teacher_temperature": 1.0,
        "objective.divergence": "forward_kl",
        "objective.critic": "trained",
        "objective.kq_rate": 1.0,
        "objective.kq_hidden": 768,
        "objective.start": "random",
        "training.epochs": 20,
        "training.steps": None,
        "training.batch_size": 8,
        "training.learning_rate": 5e-4,
        "training.projector_learning_rate": 1e-3,
        "training.weight_decay": 0.01,
        "training.clip": 1.0,
        "training.schedule": "cosine",
        "training.warmup_steps": 0,
        "training.precision": "bfloat16",
    }
    recipe = read_recipe(name)
    assert {key: value(recipe, key) for key in expected} == expected


# Mistakes


def test_an_unknown_name_lists_those_that_ship():
    with pytest.raises(TrainingError) as caught:
        read_recipe("gpt2-qwen")
    assert all(name in str(caught.value) for name in SHIPPED_NAMES)


def test_what_is_not_toml_says_in_which_line(tmp_path: Path):
    file = tmp_path / "bad.toml"
    file.write_text('name = "a"\nseed = = 3\n')
    with pytest.raises(TrainingError, match=r"bad\.toml.*line 2"):
        read_recipe(str(file))


@pytest.mark.parametrize(
    ("override", "near"),
    [
        ("trainning.steps=3", "training"),
        ("training.learning_rat=1e-3", "learning_rate"),
        ("objective.methods='cma'", "method"),
        ("student.lora.rank_=8", None),
        ("data.columns.instructions='a'", "instruction"),
        ("training.keepby='rouge_l'", "keep_by"),
        ("evaluation.seed=[1]", "seeds"),
        ("evaluation.no_repeat_ngram=6", "no_repeat_ngram_size"),
        ("reproduction.method=['cma']", "methods"),
        ("reproduction.variants.x.kd_rat=0.1", "kd_rate"),
        ("reproduction.variants.kd_rate.temprature=0.1", "temperature"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(file: Path, override: str, near: str | None):
    (problem,) = problems(file, override)
    assert override.split(".")[0] in problem
    assert "an unknown key" in problem
    assert ("Did you mean" in problem) == (near is not None)
    if near is not None:
        assert f"Did you mean {near}?" in problem


def test_all_mistakes_are_listed_at_once(file: Path):
    wrong = ("training.batch_size=0", "objective.method='cna'", "seed='ten'", "training.clips=1", "student.lora.r=0.5")
    found = problems(file, *wrong)
    assert len(found) == len(wrong)
    for override in wrong:
        assert any(override.partition("=")[0] in problem for problem in found), override


@pytest.mark.parametrize(
    "override",
    [
        "objective.kd_rate=7",
        "objective.temperature=0",
        "objective.skew=-0.5",
        "objective.kq_hidden=0",
        "objective.kq_rate=-1",
        "objective.decoder_rate=-1",
        "objective.decoder_rate=nan",
        "objective.decoder='path'",
        "seed=-1",
        "training.learning_rate=nan",
        "training.learning_rate=inf",
        "training.steps=2.5",
        "training.precision='float16'",
        "training.keep_by='accuracy'",
        "evaluation.temperature=-1",
        "evaluation.temperature=inf",
        "evaluation.no_repeat_ngram_size=-1",
        "evaluation.batch_size=0",
        "evaluation.max_rows=0",
        "evaluation.sets={a = 3}",
        "reproduction.seeds=[]",
        "reproduction.methods=[]",
        "reproduction.teacher='tuned'",
        "reproduction.teacher_train='body'",
        "reproduction.variants.x.kd_rate=7",
    ],
)
def test_a_number_out_of_range_is_refused_before_anything_is_loaded(file: Path, override: str):
    assert any(override.partition("=")[0].split(".")[0] in problem for problem in problems(file, override))


@pytest.mark.parametrize("needed", ["student.source", "data.source"])
def test_a_missing_value_is_named(tmp_path: Path, needed: str):
    part, key = needed.split(".")
    file = write_recipe(tmp_path / "a.toml", content(Path("place"), **{part: {key: None}}))
    (problem,) = problems(file)
    assert needed in problem
    assert f"Set {needed}" in problem


def test_steps_and_epochs_exclude_each_other_and_one_is_needed(tmp_path: Path):
    for training in ({"epochs": 2}, {"steps": None}):
        file = write_recipe(tmp_path / "a.toml", content(Path("place"), training=training))
        with pytest.raises(TrainingError, match="either epochs or steps"):
            read_recipe(str(file))


# Overrides


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.steps=7", 7),
        ("training.learning_rate=1e-3", 1e-3),
        ("training.learning_rate=1", 1.0),
        ("objective.reference=true", True),
        ("objective.method=cla", "cla"),
        ("objective.method='cla'", "cla"),
        ('objective.method="cla"', "cla"),
        ("student.source=a/b c", "a/b c"),
        ("student.lora.r=16", 16),
        ("student.lora.targets=['c_attn']", ["c_attn"]),
        ("data.columns.response=answer", "answer"),
        ("seeds=[1, 2]", [1, 2]),
        ("name=a=b", "a=b"),
        ("data.source=/data/2024=x", "/data/2024=x"),
    ],
)
def test_any_key_can_be_set_and_what_is_not_toml_is_a_string(file: Path, override: str, expected: object):
    found = value(read_recipe(str(file), [override]), override.partition("=")[0])
    assert found == expected
    assert type(found) is type(expected)


def test_the_last_override_counts_and_the_rest_of_a_part_stays(file: Path):
    recipe = read_recipe(str(file), ["training.steps=7", "training.steps=9"])
    assert (recipe.training.steps, recipe.training.batch_size) == (9, 4)


@pytest.mark.parametrize("override", ["training.steps", "=3", ".steps=3", "training.=3", "name.first=a", "name.a.b=1"])
def test_a_malformed_override_is_named(file: Path, override: str):
    (problem,) = problems(file, override)
    assert override in problem


@pytest.mark.parametrize("override", ["data.source=2024-01-01", "name=07:32:00"])
def test_a_date_is_no_value_of_a_recipe(file: Path, override: str):
    """TOML has dates; a directory can be named like one."""
    try:
        recipe = read_recipe(str(file), [override])
    except TrainingError:
        return
    key, _, text = override.partition("=")
    assert value(recipe, key) == text


@pytest.mark.parametrize(
    ("override", "epochs", "steps"), [("training.epochs=3", 3.0, None), ("training.steps=5", None, 5)]
)
def test_a_length_on_the_command_line_replaces_the_other_kind(
    tmp_path: Path, override: str, epochs: float | None, steps: int | None
):
    before = {"steps": 2} if epochs else {"steps": None, "epochs": 2}
    file = write_recipe(tmp_path / "a.toml", content(Path("place"), training=before))
    training = read_recipe(str(file), [override]).training
    assert (training.epochs, training.steps) == (epochs, steps)


# Runs


def test_checkpoints_cannot_be_kept_by_responses_that_nobody_samples(file: Path):
    (problem,) = problems(file, "evaluation.seeds=[]", "training.keep_by=rouge_l")
    assert problem.startswith(
        "tiny.toml: expected training.keep_by = rouge_l needs a seed in evaluation.seeds; got other"
    )
    assert read_recipe(str(file), ["evaluation.seeds=[]"]).evaluation.seeds == []


def test_runs_are_every_method_on_the_same_seeds(file: Path):
    recipe = read_recipe(str(file), ["methods=['cma', 'uld']", "seeds=[3, 1]"])
    runs = list(recipe.runs())
    assert [(run.objective.method, run.seed) for run in runs] == [("cma", 3), ("cma", 1), ("uld", 3), ("uld", 1)]
    assert [run.name for run in runs] == ["tiny/cma-seed3", "tiny/cma-seed1", "tiny/uld-seed3", "tiny/uld-seed1"]
    assert all(run.methods is None and run.seeds is None for run in runs)
    assert len({run.digest() for run in runs}) == 4
    same = [run.model_copy(update={"name": "", "seed": 0, "objective": recipe.objective}) for run in runs]
    assert all(run == same[0] for run in same)


@pytest.mark.parametrize("overrides", [[], ["methods=['uld']"], ["seeds=[4]"], ["methods=['uld']", "seeds=[4]"]])
def test_one_run_keeps_the_recipes_name(file: Path, overrides: list[str]):
    (run,) = read_recipe(str(file), overrides).runs()
    assert run.name == "tiny"
    assert run.objective.method == ("uld" if "methods=['uld']" in overrides else "cma")
    assert run.seed == (4 if "seeds=[4]" in overrides else 10)


# The digest


def test_the_digest_is_of_the_resolved_recipe(file: Path):
    recipe = read_recipe(str(file))
    assert re.fullmatch("[0-9a-f]{64}", recipe.digest())
    assert recipe.digest() == read_recipe(str(file), ["seed=10", "objective.kd_rate=0.5"]).digest()
    assert recipe.digest() == Recipe.model_validate_json(recipe.model_dump_json()).digest()


CHANGES = """
name = "b"
seed = 11
methods = ["uld"]
seeds = [1]
student.source = "b"
student.train = "body"
student.lora.r = 8
student.lora.alpha = 16
student.lora.dropout = 0.2
student.lora.targets = ["a"]
teacher.source = "b"
teacher.adapter = "b"
teacher.cached = false
teacher.device_map = "auto"
data.source = "b"
data.held_out = 3
data.max_rows = 3
data.max_prompt = 3
data.max_length = 300
data.prompt = "b"
data.columns.instruction = "b"
objective.method = "uld"
objective.kd_rate = 0.1
objective.start = "demo"
objective.freeze = ["student_embeddings"]
objective.decoder = "grid"
objective.decoder_rate = 2.0
training.steps = 3
training.batch_size = 2
training.micro_batch_size = 1
training.clip = 2.0
training.save_every = 3
training.keep_best = 3
training.keep_by = "rouge_l"
training.threads = 3
evaluation.seeds = [1]
evaluation.sets = {a = "b"}
reproduction.seeds = [1]
reproduction.variants.x.kd_rate = 0.1
"""


@pytest.mark.parametrize("line", CHANGES.strip().splitlines())
def test_the_digest_changes_with_any_key(file: Path, line: str):
    assert tomllib.loads(line)
    key, _, text = line.partition(" = ")
    assert read_recipe(str(file), [f"{key}={text}"]).digest() != read_recipe(str(file)).digest()


# Parts that training does not read


@pytest.mark.parametrize("override", ["evaluation.seeds=[1]", "evaluation.sets={a = 'b'}", "reproduction.seeds=[1]"])
def test_a_run_is_the_same_run_whatever_is_asked_of_it_later(file: Path, override: str):
    (run,), (other,) = (read_recipe(str(file), overrides).runs() for overrides in ([], [override]))
    assert other == run
    assert other.digest() == run.digest()
    assert run.evaluation == EvaluationPart()


def test_where_checkpoints_are_kept_by_rouge_the_decoding_is_part_of_the_run(file: Path):
    by_rouge = ["training.keep_by=rouge_l", "evaluation.seeds=[7]", "reproduction.seeds=[1]"]
    (run,) = read_recipe(str(file), by_rouge).runs()
    assert run.evaluation.seeds == [7]
    assert run.reproduction == ReproductionPart()
    assert run == run.for_training()


def test_sets_keep_their_order_for_the_first_is_in_domain(file: Path):
    recipe = read_recipe(str(file), ["evaluation.sets={z = 'a', a = 'b', m = 'c'}"])
    assert list(recipe.evaluation.sets) == ["z", "a", "m"]
    assert list(Recipe.model_validate_json(recipe.model_dump_json()).evaluation.sets) == ["z", "a", "m"]


def test_a_part_can_be_made_on_its_own_and_all_its_mistakes_are_listed():
    part = part_of(EvaluationPart, {"seeds": [3], "temperature": 0}, "here")
    assert (part.seeds, part.temperature, part.batch_size) == ([3], 0, 32)
    with pytest.raises(TrainingError) as caught:
        part_of(EvaluationPart, {"batch_size": 0, "max_length": 1, "seeds": ["a"]}, "here")
    assert [problem.where for problem in caught.value.problems] == [
        "here: seeds.0",
        "here: max_length",
        "here: batch_size",
    ]


def test_an_unknown_key_of_a_part_is_one_problem_with_the_nearest_one():
    with pytest.raises(TrainingError, match=r"here: batch_sizes: expected one of .*Did you mean batch_size\?"):
        part_of(EvaluationPart, {"batch_sizes": 3}, "here")


@pytest.mark.parametrize("text", ["", "{}", "no json", '{"name": "a", "more": 1}', "[]", None])
def test_a_file_that_is_no_recipe_of_a_run_is_named(tmp_path: Path, text: str | None):
    if text is not None:
        (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(TrainingError, match=r"recipe\.json: expected the recipe of a run; got .+Name a checkpoint"):
        read_recipe_of_run(tmp_path / "recipe.json")


def test_the_recipe_that_a_run_wrote_is_read(file: Path, tmp_path: Path):
    (run,) = read_recipe(str(file), ["reproduction.variants.x.kd_rate=0.1"]).runs()
    (tmp_path / "recipe.json").write_text(json.dumps(run.model_dump(mode="json")))
    assert read_recipe_of_run(tmp_path / "recipe.json") == run
