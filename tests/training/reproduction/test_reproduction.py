"""``probe-reproduce``: a plan, its stages, and a table that a second run does not change."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
from directories import TEXTS
from places import ROOT
from safetensors.numpy import load_file
from trainer_runs import assert_same_bits, content, environment, save_pair, save_start, write_recipe

from probe.alignment.align import align
from probe.checkpoints.checkpoint import load_checkpoint
from probe.chunks import content_mask
from probe.cli.reproduce import main
from probe.errors import TrainingError
from probe.gold.pairs import write_pairs
from probe.gold.rows import GoldRow
from probe.models.tokenizer import Tokenizer
from probe.scoring.destinations import DESTINATIONS
from probe.training.criteria.settings import Method
from probe.training.data.rows import read_rows
from probe.training.recipe import RECIPE, Recipe, read_recipe, read_recipe_of_run
from probe.training.reproduction.plan import Plan, Planner
from probe.training.reproduction.results import BEFORE
from probe.training.reproduction.systems import RAW_STUDENT, compared
from probe.training.stages import NOTE, TROUBLE, Stage, Store

SILENT_PEFT = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # of transformers
DECODING = {"seeds": [1, 2], "max_prompt": 24, "max_length": 40, "no_repeat_ngram_size": 0}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = save_pair(tmp_path_factory.mktemp("pair"))
    write_gold(place / "gold.tsv", place, TEXTS[:4])
    return place


def write_gold(file: Path, place: Path, texts: Sequence[str]) -> Path:
    """What these tokenizers make of the texts; whatever shares content is linked."""
    sides = [Tokenizer.load(place / name) for name in ("student", "teacher")]
    rows: list[GoldRow] = []
    for number, text in enumerate(texts):
        student, teacher = (side.tokenize(text) for side in sides)
        sure = frozenset((int(i), int(j)) for i, j in zip(*content_mask(student, teacher).nonzero(), strict=True))
        rows.append(GoldRow(f"tiny-{number}", "tiny~tiny-teacher", student, teacher, sure, frozenset(), (), ""))
    write_pairs(file, rows)
    return file


def recipe_file(place: Path, file: Path, variants: Mapping[str, Mapping[str, Any]] | None = None, **parts: Any) -> Path:
    """The tiny recipe with what a reproduction reads; tables within tables are written at the end."""
    recipe = content(place, **{key: value for key, value in parts.items() if key not in ("evaluation", "reproduction")})
    recipe["evaluation"] = DECODING | parts.get("evaluation", {})
    recipe["reproduction"] = {"methods": ["sft", "cma"], "seeds": [1, 2]} | parts.get("reproduction", {})
    write_recipe(file, recipe)
    with file.open("a") as more:
        for name, variant in (variants or {}).items():
            more.write(f"[reproduction.variants.{json.dumps(name)}]\n")
            more.writelines(f"{key} = {json.dumps(value)}\n" for key, value in variant.items())
    return file


def plan_of(place: Path, file: Path, *overrides: str, names: Sequence[str] | None = None) -> Plan:
    recipe = read_recipe(str(file), overrides)
    planner = Planner(recipe, place / "gold.tsv", Store(file.parent / "stages"))
    return planner.plan(compared(recipe, names), recipe.reproduction.seeds)


def names(stages: Sequence[Stage]) -> list[str]:
    return [stage.name for stage in stages]


def of_name(plan: Plan, name: str) -> Stage:
    (found,) = [stage for stage in plan.stages if stage.name == name]
    return found


class Done(NamedTuple):
    code: int
    out: str

    @property
    def states(self) -> dict[str, str]:
        """Of each stage, from the lines that are printed as it goes."""
        found: dict[str, str] = {}
        for line in self.out.splitlines():
            for state in ("made", "kept", "failed", "not reached"):
                if line.startswith(f"{state} "):
                    name = line.removeprefix(f"{state} ").partition(":")[0]
                    found[name[: name.rindex(" ", 0, -2)] if name.endswith(" s") else name] = state
        return found

    def made(self) -> set[str]:
        return {name for name, state in self.states.items() if state != "kept"}


Reproduce = Callable[..., Done]


def call(capsys: pytest.CaptureFixture[str], place: Path, file: Path, *more: str, gold: Path | None = None) -> Done:
    out = file.parent / "out"
    code = main([str(file), *more, "--pairs", str(gold or place / "gold.tsv"), "--out", str(out)])
    captured = capsys.readouterr()
    return Done(code, captured.out + captured.err)


@pytest.fixture
def reproduce(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Reproduce:
    monkeypatch.setenv("COLUMNS", "80")
    return lambda file, *more, **options: call(capsys, place, file, *more, **options)


@pytest.fixture(scope="module")
def whole(place: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """The recipe of a reproduction of two methods with two seeds that was run to its end, and what it printed."""
    directory = tmp_path_factory.mktemp("whole")
    file = recipe_file(place, directory / "tiny.toml")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as printed:
        patch.setenv("PROBE_CACHE", str(directory / "cache"))
        patch.setenv("COLUMNS", "80")
        code = main([str(file), "--pairs", str(place / "gold.tsv"), "--out", str(directory / "out")])
    assert code == 0, printed.getvalue()
    return file, Done(code, printed.getvalue())


@pytest.fixture
def copy(whole: tuple[Path, Done], tmp_path: Path) -> Path:
    """The same again, to be gone on with."""
    shutil.copytree(whole[0].parent, tmp_path / "copy")
    return tmp_path / "copy" / "tiny.toml"


def files(directory: Path) -> dict[str, bytes]:
    return {str(f.relative_to(directory)): f.read_bytes() for f in directory.rglob("*") if f.is_file()}


# Systems


def objectives(file: Path, *chosen: str) -> dict[str, Any]:
    return {one.name: one.objective for one in compared(read_recipe(str(file)), chosen or None)}


def test_a_variant_overrides_only_what_it_names(place: Path, tmp_path: Path):
    variants = {"mild": {"kd_rate": 0.1}, "other": {"method": "cla", "divergence": "reverse_kl"}, "uld": {"skew": 0.2}}
    file = recipe_file(place, tmp_path / "a.toml", variants, objective={"method": "cma-ga", "temperature": 3.0})
    base = read_recipe(str(file)).objective
    found = objectives(file, "mild", "other", "uld", "cma")
    assert found["mild"] == base.model_copy(update={"kd_rate": 0.1})
    assert found["other"] == base.model_copy(update={"method": "cla", "divergence": "reverse_kl"})
    assert found["uld"] == base.model_copy(update={"method": "uld", "skew": 0.2})  # a method's own name means it
    assert found["cma"] == base.model_copy(update={"method": "cma"})
    assert found["cma"].temperature == 3.0


def test_all_is_every_method_for_two_tokenizers_and_every_variant_once(place: Path, tmp_path: Path):
    file = recipe_file(place, tmp_path / "a.toml", {"mild": {"kd_rate": 0.1}, "uld": {"skew": 0.2}})
    expected = [name for name in get_args(Method) if name not in ("kd", "dskd")]
    assert list(objectives(file, "all")) == [*expected, "mild"]
    assert list(objectives(file, "cma", "all")) == ["cma", *(n for n in expected if n != "cma"), "mild"]
    assert list(objectives(file, "mild", "mild")) == ["mild"]
    assert list(objectives(file)) == ["sft", "cma"]


@pytest.mark.parametrize(("wrong", "near"), [("cma-gaa", "cma-ga"), ("mildd", "mild"), ("CMA", None), ("xyz", None)])
def test_a_misspelt_method_is_told_the_nearest(place: Path, tmp_path: Path, wrong: str, near: str | None):
    file = recipe_file(place, tmp_path / "a.toml", {"mild": {"kd_rate": 0.1}})
    with pytest.raises(TrainingError, match=rf"method {wrong}: expected one of .*mild, all") as caught:
        objectives(file, wrong)
    assert (f"Did you mean {near}?" in str(caught.value)) == (near is not None)


# The plan


def test_every_stage_stands_after_those_it_needs(place: Path, tmp_path: Path):
    file = recipe_file(place, tmp_path / "a.toml", reproduction={"teacher": "sft"})
    plan = plan_of(place, file, names=["all"])
    seen: set[str] = set()
    for stage in plan.stages:
        assert {one.digest for one in stage.needs} <= seen, stage.name
        seen.add(stage.digest)
    found = names(plan.stages)
    assert len(found) == len(set(found)) == len(seen)
    assert found[:2] == ["vocabulary map", "train teacher"]


def test_the_plan_is_every_method_with_every_seed_and_a_floor_and_a_ceiling(place: Path, tmp_path: Path):
    plan = plan_of(place, recipe_file(place, tmp_path / "a.toml"))
    assert [(trial.system, trial.seed) for trial in plan.trials] == [
        (RAW_STUDENT, None),
        ("teacher (raw)", None),
        ("sft", 1),
        ("sft", 2),
        ("cma", 1),
        ("cma", 2),
    ]
    assert names(plan.stages) == [
        "evaluate raw student held-out",
        "evaluate teacher (raw) held-out",
        *(f"{kind} sft {seed}{end}" for seed in (1, 2) for kind, end in (("train", ""), ("evaluate", " held-out"))),
        *(
            f"{kind} cma {seed}{end}"
            for seed in (1, 2)
            for kind, end in (("train", ""), ("evaluate", " held-out"), ("probe", ""))
        ),
    ]
    assert len({stage.digest for stage in plan.stages}) == len(plan.stages)


def test_a_vocabulary_map_is_needed_by_mined_alone(place: Path, tmp_path: Path):
    plan = plan_of(place, recipe_file(place, tmp_path / "a.toml"), names=["sft", "mined", "uld"])
    need = {stage.name: names(stage.needs) for stage in plan.stages}
    assert need["train mined 1"] == ["vocabulary map"]
    assert need["train sft 1"] == need["train uld 1"] == []


def test_a_tuned_teacher_is_needed_by_those_that_learn_from_it(place: Path, tmp_path: Path):
    file = recipe_file(place, tmp_path / "a.toml", reproduction={"teacher": "sft", "teacher_train": "lora"})
    plan = plan_of(place, file)
    assert plan.teacher == "teacher (sft, lora)"
    need = {stage.name: names(stage.needs) for stage in plan.stages}
    assert need["train cma 1"] == need["evaluate teacher (sft, lora) held-out"] == ["train teacher"]
    assert need["train sft 1"] == []  # it has no teacher


def changed(first: Plan, second: Plan) -> set[str]:
    """Names of stages whose digest is not in the first plan."""
    before = {stage.digest for stage in first.stages}
    return {stage.name for stage in second.stages if stage.digest not in before}


OF_CMA = {
    f"{kind} cma {seed}{end}"
    for kind, end in (("train", ""), ("evaluate", " held-out"), ("probe", ""))
    for seed in (1, 2)
}
OF_SFT = {f"{kind} sft {seed}{end}" for kind, end in (("train", ""), ("evaluate", " held-out")) for seed in (1, 2)}
FLOORS = {"evaluate raw student held-out", "evaluate teacher (raw) held-out"}
EVALUATIONS = FLOORS | {name for name in OF_CMA | OF_SFT if name.startswith("evaluate")}


@pytest.mark.parametrize(
    ("override", "again"),
    [
        ("training.learning_rate=1e-3", OF_CMA | OF_SFT),
        ("objective.kq_rate=0.5", OF_CMA | OF_SFT),
        ("student.train=body", OF_CMA | OF_SFT),
        ("evaluation.temperature=0.5", EVALUATIONS),
        ("evaluation.seeds=[1]", EVALUATIONS),
        ("evaluation.max_rows=2", EVALUATIONS),
        ("evaluation.batch_size=1", set()),
        ("name=other", set()),
        ("training.log_every=2", set()),
        ("training.save_every=1", set()),
        ("reproduction.seeds=[1]", set()),
        ("reproduction.methods=['cma']", set()),
    ],
)
def test_a_changed_key_changes_the_stages_that_read_it(place: Path, tmp_path: Path, override: str, again: set[str]):
    file = recipe_file(place, tmp_path / "a.toml")
    assert changed(plan_of(place, file), plan_of(place, file, override)) == again


def moved(place: Path, directory: Path) -> Path:
    for name in ("student", "teacher", "data", "sibling"):
        shutil.copytree(place / name, directory / name)
    shutil.copy(place / "gold.tsv", directory)
    return directory


def test_where_files_lie_is_no_input_and_what_they_hold_is(place: Path, tmp_path: Path):
    before = plan_of(place, recipe_file(place, tmp_path / "a.toml"))
    there = moved(place, tmp_path / "there")
    file = recipe_file(there, tmp_path / "b.toml")
    assert changed(before, plan_of(there, file)) == set()
    with (there / "gold.tsv").open("a") as gold:
        gold.write("# one comment more\n")
    assert changed(before, plan_of(there, file)) == {"probe cma 1", "probe cma 2"}
    shutil.copy(place / "gold.tsv", there)
    dev = (there / "data" / "dev.jsonl").read_text()
    (there / "data" / "dev.jsonl").write_text(dev.replace("Response", "Answer"))
    assert changed(before, plan_of(there, file)) == OF_CMA | OF_SFT | FLOORS
    (there / "data" / "dev.jsonl").write_text(dev)
    shutil.copy(place / "sibling" / "model.safetensors", there / "student")
    assert changed(before, plan_of(there, file)) >= OF_CMA | OF_SFT | {"evaluate raw student held-out"}


@pytest.mark.parametrize("key", ["start", "as_sharp_as"])
def test_a_checkpoint_that_a_variant_names_is_an_input(place: Path, tmp_path: Path, whole: tuple[Path, Done], key: str):
    (trained,) = whole[0].parent.glob("out/stages/train-cma-1-*/checkpoint-2")
    shutil.copytree(trained, tmp_path / "start")
    file = recipe_file(place, tmp_path / "a.toml", {"warm": {key: str(tmp_path / "start")}})
    before = plan_of(place, file, names=["cma", "warm"])
    shutil.copy(
        next(trained.parents[1].glob("train-cma-2-*/checkpoint-2")) / "projectors.safetensors", tmp_path / "start"
    )
    again = changed(before, plan_of(place, file, names=["cma", "warm"]))
    assert again == {name.replace("cma", "warm") for name in OF_CMA}


def test_a_vocabulary_map_of_the_users_is_an_input(place: Path, tmp_path: Path):
    (tmp_path / "map.json").write_text('{"5": 6}')
    file = recipe_file(place, tmp_path / "a.toml", objective={"vocabulary_map": str(tmp_path / "map.json")})
    before = plan_of(place, file, names=["mined"])
    (tmp_path / "map.json").write_text('{"5": 7}')
    assert "train mined 1" in changed(before, plan_of(place, file, names=["mined"]))


def test_a_teachers_adapter_is_an_input(place: Path, tmp_path: Path):
    """Of the methods that learn from it, and of the teacher's own evaluation."""
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(place / "teacher")}))
    file = recipe_file(place, tmp_path / "a.toml", teacher={"adapter": str(adapter)})
    plans: list[Plan] = []
    for weights in (b"one", b"two"):
        (adapter / "adapter_model.safetensors").write_bytes(weights)
        plans.append(plan_of(place, file, names=["cma"]))
    again = changed(*plans)
    assert again >= OF_CMA
    assert "evaluate teacher (raw) held-out" in again


@pytest.mark.parametrize("seed", [1, 2])
def test_no_training_sees_the_rows_that_are_asked(place: Path, tmp_path: Path, seed: int):
    """Rows are held out by a seed, which must be the same for every run of a reproduction."""
    (tmp_path / "data").mkdir()
    shutil.copy(place / "data" / "train.jsonl", tmp_path / "data")
    data = {"source": str(tmp_path / "data"), "held_out": 6}
    file = recipe_file(place, tmp_path / "a.toml", data=data, training={"steps": 1})
    plan = plan_of(place, file, names=["sft"])
    stage = of_name(plan, f"train sft {seed}")
    (tmp_path / "run").mkdir()
    stage.make(tmp_path / "run")
    recipe = Recipe.model_validate_json((tmp_path / "run" / "recipe.json").read_text())
    assert recipe.seed == seed
    asked = {question.prompt for question in plan.sets[0].questions}
    rows = read_rows(recipe.data, recipe.seed)
    assert len(asked) == len(rows.dev) == 6
    assert {row.prompt for row in rows.train} & asked == set()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("teacher.source=/no/such", "/no/such: expected a model directory or a hub id"),
        (
            "objective.start=/no/such",
            "objective.start: expected random, pseudo-inverse, attention, or a checkpoint's name or directory",
        ),
        ("objective.as_sharp_as=/no/such", "objective.as_sharp_as: expected attention, or a checkpoint's name"),
        ("evaluation.sets={a = '/no/such'}", "/no/such: expected a jsonl file, or a directory"),
        ("data.source=/no/such", "/no/such"),
        ("reproduction.methods=['cmaa']", "Did you mean cma"),
    ],
)
def test_what_is_not_there_is_told_before_anything_is_trained(
    place: Path, tmp_path: Path, reproduce: Reproduce, override: str, message: str
):
    done = reproduce(recipe_file(place, tmp_path / "a.toml"), override)
    assert done.code == 2
    assert message in done.out
    assert done.states == {}


def test_a_gold_file_that_is_not_there_is_told_before_anything_is_trained(
    place: Path, tmp_path: Path, reproduce: Reproduce
):
    done = reproduce(recipe_file(place, tmp_path / "a.toml"), gold=tmp_path / "none.tsv")
    assert done.code == 2
    assert "none.tsv: expected a gold file" in done.out
    assert done.states == {}


# From end to end


def test_a_reproduction_makes_all_its_stages_and_a_table(place: Path, whole: tuple[Path, Done]):
    file, done = whole
    assert done.states == dict.fromkeys(names(plan_of(place, file).stages), "made")
    out = file.parent / "out"
    assert sorted(path.name for path in out.iterdir()) == ["results.json", "stages", "table.md", "table.tex"]
    assert max(map(len, done.out.splitlines()[:-1])) <= 80
    table = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in (out / "table.md").read_text().splitlines()
    ]
    table, bits = table[: table.index([""])], table[table.index([""]) + 1 :]
    assert {len(row) for row in table} == {len(row) for row in bits} == {6}
    assert [row[0] for row in table[2:]] == [row[0] for row in bits[2:]] == [RAW_STUDENT, "teacher (raw)", "sft", "cma"]
    assert [bool(row[2]) for row in bits[2:]] == [bool(row[4]) for row in bits[2:]] == [False, False, False, True]
    assert all(row[1] and row[3] and row[5] for row in bits[2:])
    cells = {row[0]: row[1:] for row in table[2:]}
    assert table[0][-1] == "− sft, ROUGE-L [95 % CI]"
    assert [bool(cells[name][-1]) for name in (RAW_STUDENT, "teacher (raw)", "sft", "cma")] == [
        False,
        False,
        False,
        True,
    ]
    assert [bool(cells[name][3]) for name in (RAW_STUDENT, "teacher (raw)", "sft", "cma")] == [
        False,
        False,
        False,
        True,
    ]
    assert cells[RAW_STUDENT][1] == "–"
    assert "±" in cells["cma"][2]
    assert "training seeds: 1, 2; decoding seeds: 1, 2;" in " ".join(done.out.split())
    assert "a claim about methods needs 5 paired seeds" in done.out
    assert BEFORE not in cells


def refuse(constant: str) -> float:
    raise AssertionError(constant)


def test_results_hold_every_figure_stage_and_version(place: Path, whole: tuple[Path, Done]):
    file, _ = whole
    read = json.loads((file.parent / "out" / "results.json").read_text(encoding="utf-8"), parse_constant=refuse)
    plan = plan_of(place, file)
    assert [(one["name"], one["digest"]) for one in read["stages"]] == [(one.name, one.digest) for one in plan.stages]
    assert all(one["state"] == "made" and one["trouble"] is None for one in read["stages"])
    assert list(read["evaluation"]["systems"]) == [RAW_STUDENT, "teacher (raw)", "sft", "cma"]
    assert read["evaluation"]["systems"]["cma"]["training_seeds"] == [1, 2]
    assert list(read["probes"]) == ["cma"]
    assert list(read["probes"]["cma"]) == ["1", "2"]
    assert "by_sentence" not in read["probes"]["cma"]["1"]
    methods = [list(read["probes"]["cma"][seed]["figures"]) for seed in ("1", "2")]
    assert {"random", "bigram", "gold"} < set(methods[0])  # the same for all students, so written down once
    assert methods[1] == ["cma", "cma-grid"]
    of_seeds = [one for of_sets in read["bits per byte"]["cma"].values() for one in of_sets.values()]
    of_system = next(iter(read["evaluation"]["systems"]["cma"]["sets"].values()))
    assert sum(of_seeds[:: len(of_seeds) // 2]) / 2 == pytest.approx(of_system["bits_per_byte"]["mean"])
    rouge = [value for of_sets in read["ROUGE-L"]["cma"].values() for value in of_sets.values()]
    assert sum(rouge[:: len(rouge) // 2]) / 2 == pytest.approx(of_system["rouge_l"]["mean"])
    assert Recipe.model_validate_json(json.dumps(read["recipe"])) == read_recipe(str(file))
    assert {"cma-probe", "torch", "transformers"} <= read["versions"].keys()
    top = [read["probes"]["cma"][seed]["figures"]["cma"]["top-1"]["value"] for seed in ("1", "2")]
    line = next(line for line in (file.parent / "out" / "table.md").read_text().splitlines() if "| cma |" in line)
    assert f"{100 * sum(top) / 2:.1f}±" in line


def test_a_difference_of_bits_is_told_in_thousandths(whole: tuple[Path, Done]):
    file, done = whole
    fitted = json.loads((file.parent / "out" / "results.json").read_text())["bits per byte, fitted"]
    of_seeds = {arm: [next(iter(fitted[arm][seed].values())) for seed in ("1", "2")] for arm in ("cma", "sft")}
    bits = {arm: np.mean([one["bits_per_byte"] for one in found]) for arm, found in of_seeds.items()}
    expected = f"{1000 * (bits['cma'] - bits['sft']):+.1f} ["
    lines = (file.parent / "out" / "table.md").read_text().splitlines()
    assert expected in next(line for line in reversed(lines) if "| cma |" in line).split("|")[5]
    assert expected in next(line for line in reversed(done.out.splitlines()) if line.startswith(" cma "))


def test_without_decoding_seeds_no_table_speaks_of_rouge(place: Path, tmp_path: Path, reproduce: Reproduce):
    part = {"seeds": [1], "methods": ["sft", "cma"]}
    file = recipe_file(place, tmp_path / "a.toml", training={"steps": 2}, reproduction=part)
    done = reproduce(file, "evaluation.seeds=[]")
    assert done.code == 0
    assert "decoding seeds: none;" in " ".join(done.out.split())
    assert "ROUGE" not in done.out + (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    read = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert read["ROUGE-L"]["cma"]["1"] == {"held-out": None}


def test_what_is_recorded_is_what_ran(place: Path, tmp_path: Path, reproduce: Reproduce):
    """Variants and methods as they ran; a recipe rebuilt from the record trains the same weights."""
    variants = {"mild": {"kd_rate": 0.1}, "uld": {"skew": 0.2}}
    file = recipe_file(place, tmp_path / "a.toml", variants, objective={"method": "cma-ga", "temperature": 3.0})
    assert reproduce(file, "--seeds", "1", "--methods", "mild").code == 0
    recorded = json.loads((tmp_path / "out" / "results.json").read_text())["recipe"]
    found = recorded["reproduction"]["variants"]["mild"]
    assert (found["method"], found["kq_hidden"], found["temperature"], found["kd_rate"]) == ("cma-ga", 8, 3.0, 0.1)
    assert recorded["reproduction"]["variants"]["uld"]["method"] == "uld"
    assert recorded["reproduction"]["methods"] == ["mild"]
    again = write_record(tmp_path / "again" / "a.toml", recorded)
    assert reproduce(again).code == 0
    trained = [next((d / "out" / "stages").glob("train-mild-1-*/checkpoint-2")) for d in (tmp_path, again.parent)]
    assert_same_bits(*trained)


def write_record(file: Path, recorded: Mapping[str, Any]) -> Path:
    """A recorded recipe as a file, whose tables hold tables."""

    def lines(table: Mapping[str, Any], prefix: str) -> Iterator[str]:
        plain = {key: value for key, value in table.items() if value is not None and not isinstance(value, dict)}
        yield from (f"{key} = {json.dumps(value)}" for key, value in plain.items())
        for key, value in table.items():
            if isinstance(value, dict):
                yield f"[{prefix}{json.dumps(key)}]"
                yield from lines(value, f"{prefix}{json.dumps(key)}.")

    file.parent.mkdir(parents=True)
    file.write_text("\n".join(lines(recorded, "")) + "\n")
    return file


def test_seeds_differ_and_methods_too(whole: tuple[Path, Done]):
    stages = whole[0].parent / "out" / "stages"
    found = {path.read_bytes() for path in stages.glob("train-*/checkpoint-2/student/model.safetensors")}
    assert len(found) == 4


def test_a_second_run_keeps_everything_and_says_the_same(copy: Path, reproduce: Reproduce):
    out = copy.parent / "out"
    before = files(out)
    done = reproduce(copy)
    assert done.code == 0
    assert set(done.states.values()) == {"kept"}
    after = files(out)
    results = before.pop("results.json"), after.pop("results.json")
    assert after == before
    first, second = (json.loads(text) for text in results)
    assert {one["state"] for one in second["stages"]} == {"kept"}
    for document in (first, second):
        for stage in document["stages"]:
            stage.pop("state")
    assert first == second


@pytest.mark.parametrize(
    ("override", "again"),
    [
        ("training.learning_rate=1e-3", {"train cma 1", "evaluate cma 1 held-out", "probe cma 1"}),
        ("evaluation.temperature=0.5", {*FLOORS, "evaluate cma 1 held-out"}),
    ],
)
def test_a_changed_key_makes_what_reads_it_and_keeps_the_rest(
    copy: Path, reproduce: Reproduce, override: str, again: set[str]
):
    done = reproduce(copy, override, "--methods", "cma", "--seeds", "1")
    assert done.code == 0, done.out
    assert done.made() == again
    assert set(done.states) == {*FLOORS, "train cma 1", "evaluate cma 1 held-out", "probe cma 1"}


def test_another_gold_file_probes_again_and_does_nothing_else(
    place: Path, copy: Path, reproduce: Reproduce, tmp_path: Path
):
    gold = write_gold(tmp_path / "other.tsv", place, TEXTS[1:])
    done = reproduce(copy, gold=gold)
    assert done.code == 0, done.out
    assert done.made() == {"probe cma 1", "probe cma 2"}


def test_one_more_method_and_one_more_set_leave_what_is_there(place: Path, copy: Path, reproduce: Reproduce):
    recipe = read_recipe(str(copy))
    rows = (place / "data" / "dev.jsonl").read_text().replace("Response", "Answer")
    (copy.parent / "asked.jsonl").write_text(rows)
    sets = f"evaluation.sets={{held-out = '{recipe.data.source}/dev.jsonl', new = '{copy.parent}/asked.jsonl'}}"
    done = reproduce(copy, sets, "--methods", "sft", "uld", "--seeds", "1")
    assert done.code == 0, done.out
    fresh = {f"evaluate {name} new" for name in (RAW_STUDENT, "teacher (raw)", "sft 1", "uld 1")}
    assert done.made() == {*fresh, "train uld 1", "evaluate uld 1 held-out"}


def test_mined_makes_its_map_first(place: Path, tmp_path: Path, reproduce: Reproduce):
    done = reproduce(recipe_file(place, tmp_path / "a.toml"), "--methods", "mined", "--seeds", "1")
    assert done.code == 0, done.out
    assert next(iter(done.states)) == "vocabulary map"
    (run,) = (tmp_path / "out" / "stages").glob("train-mined-1-*/recipe.json")
    named = Path(json.loads(run.read_text())["objective"]["vocabulary_map"])
    assert named.parent.name.startswith("vocabulary-map-")
    assert named.is_file()


@SILENT_PEFT
@pytest.mark.parametrize("train", ["all", "lora"])
def test_a_teacher_that_is_fine_tuned_first_is_named_and_learnt_from(
    place: Path, tmp_path: Path, reproduce: Reproduce, train: str
):
    part = {"teacher": "sft", "teacher_train": train}
    file = recipe_file(place, tmp_path / "a.toml", reproduction=part, student={"train": "body"})
    done = reproduce(file, "--methods", "cma", "--seeds", "1")
    assert done.code == 0, done.out
    name = f"teacher (sft, {train})"
    assert f"{name}; training seeds: 1;" in " ".join(done.out.split())
    assert name in (tmp_path / "out" / "table.md").read_text()
    assert list(done.states)[:2] == ["train teacher", "evaluate raw student held-out"]
    (tuned,) = (tmp_path / "out" / "stages").glob("train-teacher-*/checkpoint-2/student")
    (run,) = (tmp_path / "out" / "stages").glob("train-cma-1-*/recipe.json")
    teacher = json.loads(run.read_text())["teacher"]
    assert (tuned / "adapter_config.json").is_file() == (train == "lora")
    assert teacher["adapter" if train == "lora" else "source"] == str(tuned)
    # Its own evaluation is of the tuned one.
    read = json.loads((tmp_path / "out" / "results.json").read_text())
    assert read["teacher"] == name
    assert read["evaluation"]["systems"][name]["training_seeds"] == [10]
    assert reproduce(file, "--methods", "cma", "--seeds", "1").made() == set()


def test_projectors_that_all_begin_with_are_probed_before_training(
    place: Path, whole: tuple[Path, Done], tmp_path: Path, reproduce: Reproduce
):
    (trained,) = whole[0].parent.glob("out/stages/train-cma-1-*/checkpoint-2")
    # Its run trained the student's table, so that its projectors fit this student alone.
    parts = {"objective": {"start": str(trained)}, "student": {"source": str(trained / "student")}}
    file = recipe_file(place, tmp_path / "a.toml", **parts)
    done = reproduce(file, "--methods", "cma", "--seeds", "1")
    assert done.code == 0, done.out
    assert done.states["probe start"] == "made"
    first = (tmp_path / "out" / "table.md").read_text().splitlines()[2]
    assert first.startswith(f"| {BEFORE} |")
    (before,) = whole[0].parent.glob("out/stages/probe-cma-1-*/report.json")
    (start,) = (tmp_path / "out" / "stages").glob("probe-start-*/report.json")
    figures = [json.loads(file.read_text())["figures"] for file in (before, start)]
    assert figures[0] == figures[1]


# Failures


def test_a_method_that_fails_leaves_the_others_and_gives_exit_code_1(place: Path, tmp_path: Path, reproduce: Reproduce):
    variants = {"lost": {"start": "demo"}}  # whose projectors are of another pair
    file = recipe_file(place, tmp_path / "a.toml", variants)
    done = reproduce(file, "--methods", "sft", "kd", "lost", "--seeds", "1")
    assert done.code == 1
    assert {name: state for name, state in done.states.items() if state != "made"} == {
        "train kd 1": "failed",
        "evaluate kd 1 held-out": "not reached",
        "train lost 1": "failed",
        "evaluate lost 1 held-out": "not reached",
        "probe lost 1": "not reached",
    }
    assert "needs train lost 1" in done.out
    assert len(list((tmp_path / "out" / "stages").glob(f"train-*/{TROUBLE}"))) == 2
    table = (tmp_path / "out" / "table.md").read_text()
    assert "| sft |" in table
    assert "| kd" not in table
    assert "| lost" not in table
    assert "Traceback" not in done.out
    again = reproduce(file, "--methods", "sft", "kd", "lost", "--seeds", "1")
    assert again.code == 1
    assert again.states == {name: "kept" if state == "made" else state for name, state in done.states.items()}


def test_a_loss_that_is_no_number_fails_its_training_alone(place: Path, tmp_path: Path, reproduce: Reproduce):
    file = recipe_file(place, tmp_path / "a.toml")
    done = reproduce(file, "training.learning_rate=1e30", "--methods", "sft", "--seeds", "1")
    assert done.code == 1
    assert done.states["train sft 1"] == "failed"
    assert done.states["evaluate raw student held-out"] == "made"
    table = (tmp_path / "out" / "table.md").read_text()
    assert RAW_STUDENT in table
    assert "| sft |" not in table


def test_a_seed_that_fails_is_counted_as_missing(place: Path, copy: Path, reproduce: Reproduce):
    """Here because somebody removed the checkpoint of a training that was done."""
    stages = copy.parent / "out" / "stages"
    (evaluated,) = stages.glob("evaluate-cma-2-*")
    shutil.rmtree(evaluated)
    (trained,) = stages.glob("train-cma-2-*")
    for checkpoint in trained.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    done = reproduce(copy)
    assert done.code == 1
    assert done.made() == {"evaluate cma 2 held-out"}
    assert "cma (1 of 2 seeds)" in (copy.parent / "out" / "table.md").read_text()


def test_where_every_evaluation_fails_the_trouble_is_told(place: Path, tmp_path: Path, reproduce: Reproduce):
    file = recipe_file(place, tmp_path / "a.toml")
    done = reproduce(file, "evaluation.max_length=512", "--methods", "sft", "--seeds", "1")
    assert done.code == 1
    assert done.states["evaluate sft 1 held-out"] == "failed"
    assert "max_length: expected at most 64 tokens; got 512" in done.out


def test_a_recipe_without_a_teacher_or_without_questions_is_told(place: Path, tmp_path: Path, reproduce: Reproduce):
    done = reproduce(recipe_file(place, tmp_path / "a.toml", teacher={"source": None}))
    assert done.code == 2
    assert "expected a teacher; got none" in done.out
    shutil.copytree(place / "data", tmp_path / "data")
    (tmp_path / "data" / "dev.jsonl").unlink()
    done = reproduce(recipe_file(place, tmp_path / "a.toml", data={"source": str(tmp_path / "data")}))
    assert done.code == 2
    assert "expected dev rows or a set; got neither" in done.out


def test_a_gold_file_of_other_tokenizers_changes_the_probe_alone(copy: Path, tmp_path: Path, reproduce: Reproduce):
    lines = (ROOT / "alignments" / "gold.tsv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "demo.tsv").write_text("\n".join(lines[:13]) + "\n", encoding="utf-8")
    done = reproduce(copy, gold=tmp_path / "demo.tsv")
    assert done.code == 0
    assert done.made() == {"probe cma 1", "probe cma 2"}
    reports = (copy.parent / "out" / "stages").glob("probe-cma-1-*/report.json")  # of both gold files
    assert sum("linked by rule" in report.read_text(encoding="utf-8") for report in reports) == 1


@pytest.mark.slow
def test_a_killed_reproduction_goes_on_to_the_same_table(
    place: Path, whole: tuple[Path, Done], tmp_path: Path, reproduce: Reproduce
):
    file = recipe_file(place, tmp_path / "tiny.toml")
    command = [sys.executable, "-m", "probe.cli.reproduce", str(file), "--pairs", str(place / "gold.tsv")]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")],
        env=environment(PROBE_CACHE=str(tmp_path / "cache")),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    begun = tmp_path / "out" / "stages"
    deadline = time.monotonic() + 120
    while not list(begun.glob("train-sft-2-*/recipe.json")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    lines = process.communicate()[0].splitlines()
    before = {path.parent.name for path in (tmp_path / "out" / "stages").glob(f"*/{NOTE}")}
    assert len(before) == len(lines) == 4
    assert not any(name.startswith("train-sft-2") for name in before)  # it was in the midst of it
    done = reproduce(file)
    assert done.code == 0, done.out
    states = list(done.states.values())
    assert states == ["kept"] * len(before) + ["made"] * (len(states) - len(before))
    for name in ("table.md", "table.tex"):
        assert (tmp_path / "out" / name).read_bytes() == (whole[0].parent / "out" / name).read_bytes()


def test_a_training_that_goes_on_logs_every_step_once(copy: Path, reproduce: Reproduce):
    """A line of a step behind the last checkpoint is of one that is taken again."""
    (training,) = (copy.parent / "out" / "stages").glob("train-cma-1-*")
    before = (training / "log.txt").read_text().splitlines()
    (training / NOTE).unlink()
    shutil.rmtree(training / "checkpoint-2")
    assert reproduce(copy).code == 0
    steps = [line.partition(":")[0] for line in (training / "log.txt").read_text().splitlines() if "step " in line[:5]]
    assert steps == [line.partition(":")[0] for line in before if "step " in line[:5]]


# Models that a reproduction makes itself


def scratch_recipe(place: Path, directory: Path, **more: Any) -> Path:
    part = {"epochs": 3, "student_epochs": 1} | more
    file = recipe_file(place, directory / "a.toml", reproduction={"seeds": [1]})
    with file.open("a") as lines:
        lines.write("[reproduction.scratch]\n" + "".join(f"{key} = {value}\n" for key, value in part.items()))
    return file


def test_models_from_random_weights_are_made_first_and_everything_is_trained_from_them(
    place: Path, tmp_path: Path, reproduce: Reproduce
):
    file = scratch_recipe(place, tmp_path)
    plan = plan_of(place, file)
    both = ["language model student", "language model teacher"]
    assert names(plan.stages)[:2] == both
    need = {stage.name: names(stage.needs) for stage in plan.stages}
    assert need["train sft 1"] == need["train cma 1"] == both
    assert need["evaluate raw student held-out"] == both[:1]
    assert need["evaluate teacher (raw) held-out"] == both[1:]
    assert reproduce(file).code == 0
    stages = tmp_path / "out" / "stages"
    made = {role: next(stages.glob(f"language-model-{role}-*")) for role in ("student", "teacher")}
    (trained,) = stages.glob("train-cma-1-*")
    recipe = read_recipe_of_run(trained / RECIPE)
    assert (recipe.student.source, recipe.teacher.source) == (str(made["student"]), str(made["teacher"]))
    for role, directory in made.items():
        config, own = (json.loads((one / "config.json").read_text()) for one in (place / role, directory))
        assert own["vocab_size"] == config["vocab_size"]
        assert (directory / "tokenizer.json").read_bytes() == (place / role / "tokenizer.json").read_bytes()
        assert (directory / "model.safetensors").read_bytes() != (place / role / "model.safetensors").read_bytes()


def test_a_student_that_stops_early_has_another_digest_than_one_that_does_not(place: Path, tmp_path: Path):
    short = plan_of(place, scratch_recipe(place, tmp_path / "short"))
    long = plan_of(place, scratch_recipe(place, tmp_path / "long", student_epochs=3))
    assert "language model teacher" not in changed(short, long)
    assert {"language model student", "train cma 1", "evaluate raw student held-out"} <= changed(short, long)


def test_a_teacher_from_random_weights_is_not_fine_tuned_too(place: Path, tmp_path: Path, reproduce: Reproduce):
    done = reproduce(scratch_recipe(place, tmp_path), 'reproduction.teacher="sft"')
    assert done.code == 2
    assert "reproduction.teacher: expected raw beside scratch" in done.out


# Projectors that are trained first


def test_projectors_are_trained_first_by_method_and_take_the_query_alone_of_a_checkpoint(
    place: Path, tmp_path: Path, reproduce: Reproduce
):
    start = save_start(place, tmp_path / "start", ("query", "t2s"))
    part = {"seeds": [1], "methods": ["sft", "cma", "sharp", "begun"], "projector_steps": 3}
    begun = {"method": "cma", "start": str(start), "freeze": ["query"]}
    variants = {"begun": begun, "sharp": begun | {"as_sharp_as": str(start)}}
    file = recipe_file(place, tmp_path / "a.toml", variants, training={"steps": 2}, reproduction=part)
    need = {stage.name: names(stage.needs) for stage in plan_of(place, file).stages}
    assert (need["train cma 1"], need["train sft 1"]) == (["projectors cma 1"], [])
    assert reproduce(file).code == 0
    stages = tmp_path / "out" / "stages"
    for name, sharp in (("cma", None), ("sharp", str(start)), ("begun", None)):
        (first,) = stages.glob(f"projectors-{name}-1-*")
        (then,) = stages.glob(f"train-{name}-1-*")
        # Once is enough: the training starts from a query that is as sharp already.
        assert read_recipe_of_run(first / RECIPE).objective.as_sharp_as == sharp
        assert read_recipe_of_run(then / RECIPE).objective.as_sharp_as is None
        assert read_recipe_of_run(first / RECIPE).student.train == "nothing"
        assert read_recipe_of_run(then / RECIPE).objective.start == str(first / "checkpoint-3")
    assert set(load_checkpoint(first / "query").projectors) == {"query"}
    query = [load_file(one / "projectors.safetensors") for one in (start, then / "checkpoint-2")]
    for name in query[0]:
        if name.startswith("query"):
            np.testing.assert_array_equal(query[0][name], query[1][name])


# The attention along a training


def test_a_trajectory_is_what_the_probe_says_of_each_step(place: Path, tmp_path: Path, reproduce: Reproduce):
    training = {"steps": 4, "save_projectors_every": 2, "projector_learning_rate": 0.1}
    part = {"seeds": [1], "methods": ["sft", "cma", "uniform"]}
    assert reproduce(recipe_file(place, tmp_path / "a.toml", training=training, reproduction=part)).code == 0
    read = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert list(read["trajectories"]) == ["cma"]
    points = read["trajectories"]["cma"]["1"]
    assert [one["step"] for one in points] == [0, 2, 4]
    (trained,) = (tmp_path / "out" / "stages").glob("train-cma-1-*")
    for one in points:
        report = align(str(trained / "projectors" / f"step-{one['step']}"), place / "gold.tsv")
        figures = report["cma"]
        assert one["top_1"] == pytest.approx(figures.top1.value)
        assert one["entropy"] == pytest.approx(figures.entropy.value)
        shares = dict(zip(DESTINATIONS, report.destinations.figures.value[0], strict=True))
        assert one["in_chunk"] == pytest.approx(shares["sure link"] + shares["rest of its chunk"])
        assert one["fan_in"] >= 1
    history = json.loads((trained / "checkpoint-4" / "trainer_state.json").read_text())["log_history"]
    hits = [one["t2s_acc"] for one in history if "t2s_acc" in one]
    assert read["t2s hits"]["cma"]["1"] == pytest.approx(np.mean(hits))
    assert set(read["t2s hits"]) == {"cma", "uniform"}
    assert set(read["accuracy"]) == {RAW_STUDENT, "teacher (raw)", "sft", "cma", "uniform"}


def test_every_arm_of_the_study_is_a_variant_that_can_run():
    recipe = read_recipe("alignment-study")
    arms = compared(recipe, [*recipe.reproduction.methods, *recipe.reproduction.variants, "clp", "uld", "eta"])
    assert len(arms) == 10 + 26 + 3
    recipe = read_recipe("alignment-study-real")
    arms = compared(recipe, recipe.reproduction.methods)
    assert [one.name for one in arms] == ["sft", "shipped", "aligned", "cla"]
    assert not recipe.trains_table
    # The attention stays as it starts: only the query and the mask tell the arms apart.
    assert [one.objective.freeze for one in arms] == [[], *([["query"]] * 3)]
