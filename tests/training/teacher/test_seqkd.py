import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from directories import TEXTS, save_model

from probe.training.data.corpus import read_corpus
from probe.training.teacher import responses as teacher_responses
from probe.training.teacher.responses import teacher_digest
from probe.training.teacher.seqkd import main

COUNT = 40
ROOM = ("--max-prompt", "16", "--max-length", "48")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher and its data."""
    directory = tmp_path_factory.mktemp("seqkd")
    save_model("gpt2", directory / "teacher")
    rows = [{"prompt": TEXTS[n % 5][: 4 + n], "output": f"naïve {n}", "topic": "c"} for n in range(COUNT)]
    (directory / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (directory / "dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:3]), encoding="utf-8")
    return directory


def arguments(place: Path, out: Path, *more: str) -> list[str]:
    return ["--teacher", str(place / "teacher"), "--data", str(place), "--out", str(out), *ROOM, *more]


def seqkd(monkeypatch: pytest.MonkeyPatch, *given: str) -> int:
    monkeypatch.setattr("sys.argv", ["seqkd", *given])
    return main()


def say(monkeypatch: pytest.MonkeyPatch, responses: Mapping[int, str], asked: list[int]) -> None:
    """Put responses into the teacher's mouth."""

    def rows(model: Any, tokenizer: Any, prompts: Mapping[int, str], *_: Any, **__: Any) -> Iterator[tuple[int, str]]:
        for row in reversed(prompts):  # not in the order of the data
            asked.append(row)
            yield row, responses[row]

    monkeypatch.setattr(teacher_responses, "generate_rows", rows)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_file(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    command = [
        sys.executable,
        "-m",
        "probe.training.teacher.seqkd",
        *arguments(place, tmp_path / "killed", "--batch-size", "1"),
    ]
    killed = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    partial = tmp_path / "killed" / "train.partial.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (partial.is_file() and partial.read_bytes().count(b"\n") > 9):
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed" / "train.jsonl").exists()
    done = {json.loads(line)["row"] for line in partial.read_bytes().split(b"\n")[:-1]}
    assert 9 < len(done) < COUNT
    with partial.open("ab") as file:
        file.write(b'{"row": 3, "output": "half a li')
    left: list[int] = []
    real = teacher_responses.generate_rows
    monkeypatch.setattr(
        teacher_responses,
        "generate_rows",
        lambda model, tokenizer, prompts, *given, **options: (
            left.extend(prompts) or real(model, tokenizer, prompts, *given, **options)
        ),
    )
    assert seqkd(monkeypatch, *arguments(place, tmp_path / "killed", "--batch-size", "7")) == 0
    assert set(left) == set(range(COUNT)) - done
    assert seqkd(monkeypatch, *arguments(place, tmp_path / "whole", "--batch-size", "16")) == 0
    for name in ("train.jsonl", "train.settings.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == ["train.jsonl", "train.settings.json"]


def test_the_file_is_the_corpus_with_other_responses_and_without_empty_ones(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    asked: list[int] = []
    say(monkeypatch, {0: "é\nb", 1: " \n", 2: "c"}, asked)
    given = arguments(place, tmp_path / "out", "--split", "dev")
    assert seqkd(monkeypatch, *given) == 0
    examples = read_corpus(str(place), "dev")
    lines = (tmp_path / "out" / "dev.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"prompt": examples[row].prompt, "output": text, "reference": examples[row].output}
        for row, text in ((0, "é\nb"), (2, "c"))
    ]
    assert [row.output for row in read_corpus(str(tmp_path / "out"), "dev")] == ["é\nb", "c"]
    # What is finished is said again, and not made again.
    assert seqkd(monkeypatch, *given) == 0
    assert asked == [2, 1, 0]
    assert capsys.readouterr().out == f"{tmp_path / 'out' / 'dev.jsonl'}: 2 rows; 1 empty responses dropped\n" * 2


def test_a_run_killed_twice_asks_for_nothing_twice_not_even_for_empty_responses(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[int] = []
    given = arguments(place, tmp_path, "--split", "dev")
    for known in ({2: ""}, {1: "b"}):
        say(monkeypatch, known, asked)
        with pytest.raises(KeyError):
            seqkd(monkeypatch, *given)
        with (tmp_path / "dev.partial.jsonl").open("a") as file:
            file.write('{"row": 0, "output": "half')
    say(monkeypatch, {0: "a"}, asked)
    assert seqkd(monkeypatch, *given) == 0
    assert asked == [2, 1, 1, 0, 0]
    assert [row.output for row in read_corpus(str(tmp_path), "dev")] == ["a", "b"]


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("--seed", "11"), "{'seed': 11}; got one with {'seed': 10}"),
        (("--greedy",), "{'temperature': 0.0}"),
        (("--temperature", "0.5"), "{'temperature': 0.5}"),
        (("--max-prompt", "15"), "{'max_prompt': 15}"),
        (("--data", "OTHER"), "{'data': "),
        (("--teacher", "OTHER"), "{'teacher': "),
    ],
)
def test_other_settings_do_not_go_on(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, ...],
    named: str,
    finished: bool,
):
    save_model("gpt2", tmp_path / "other", seed=5)
    (tmp_path / "other" / "dev.jsonl").write_text('{"prompt": "a", "output": "b"}\n')
    given = arguments(place, tmp_path / "out", "--split", "dev")
    say(monkeypatch, {0: "a", 1: "b", 2: "c"} if finished else {2: "c"}, [])
    if finished:
        seqkd(monkeypatch, *given)
    else:
        with pytest.raises(KeyError):
            seqkd(monkeypatch, *given)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    changed = [str(tmp_path / "other") if word == "OTHER" else word for word in change]
    assert seqkd(monkeypatch, *given, *changed) == 2
    assert named in capsys.readouterr().err
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}


def test_the_data_itself_is_not_replaced(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    before = (place / "dev.jsonl").read_bytes()
    assert seqkd(monkeypatch, *arguments(place, place, "--split", "dev")) == 2
    assert "that file may be the data itself" in capsys.readouterr().err
    assert (place / "dev.jsonl").read_bytes() == before
    assert not (place / "dev.settings.json").exists()


@pytest.mark.parametrize(
    "line", ["no json", '{"row": 3, "output": "a"}', '{"row": 0}', '{"row": 0, "output": 1}', '{"row": "0"}', "[]", ""]
)
def test_a_partial_file_of_something_else_is_refused(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
):
    given = arguments(place, tmp_path, "--split", "dev")
    say(monkeypatch, {}, [])
    with pytest.raises(KeyError):
        seqkd(monkeypatch, *given)
    (tmp_path / "dev.partial.jsonl").write_text('{"row": 0, "output": "a"}\n' + line + "\n")
    assert seqkd(monkeypatch, *given) == 2
    assert "dev.partial.jsonl:2: expected a response to one of 3 rows; got " in capsys.readouterr().err


def test_a_teachers_digest_is_of_its_weights_and_not_of_their_storage(place: Path):
    def load(dtype: torch.dtype) -> torch.nn.Module:
        return transformers.AutoModelForCausalLM.from_pretrained(place / "teacher", dtype=dtype)

    stored = load(torch.bfloat16)
    same, other = load(torch.bfloat16).float(), load(torch.bfloat16)
    with torch.no_grad():
        other.get_parameter("transformer.h.0.mlp.c_fc.weight").mul_(1.5)
    assert teacher_digest(stored) == teacher_digest(same) != teacher_digest(other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--split", "test"), "expected test.jsonl"),
        (("--teacher", "/no/such/model"), "a model directory"),
        (("--batch-size", "0"), "a batch size above 0"),
        (("--temperature", "-1"), "temperature: expected 0 or a number above"),
        (("--max-length", "512"), "max_length: expected at most 64 tokens"),
    ],
)
def test_bad_input_ends_with_code_2(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, str],
    message: str,
):
    assert seqkd(monkeypatch, *arguments(place, tmp_path), *change) == 2
    assert message in capsys.readouterr().err


def test_a_directory_without_a_model_and_a_place_that_is_a_file_are_refused(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "teacher").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "teacher" / name).write_bytes((place / "teacher" / name).read_bytes())
    assert seqkd(monkeypatch, *arguments(place, tmp_path, "--teacher", str(tmp_path / "teacher"))) == 2
    assert "a causal language model" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert seqkd(monkeypatch, *arguments(place, tmp_path / "file" / "out")) == 2
    assert "a place to write to" in capsys.readouterr().err


def test_settings_that_made_nothing_can_be_mended(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given = arguments(place, tmp_path, "--split", "dev")
    assert seqkd(monkeypatch, *given, "--max-length", "512") == 2
    assert seqkd(monkeypatch, *given) == 0
    assert json.loads((tmp_path / "dev.settings.json").read_text())["max_length"] == 48


def test_help_needs_none_of_the_packages_of_training():
    code = "import sys; sys.modules |= dict.fromkeys(('torch', 'transformers')); from runpy import run_module\n"
    code += "sys.argv = ['x', '--help']; run_module('probe.training.teacher.seqkd', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "changes no response; default 8" in done.stdout


def test_greedy_and_a_temperature_exclude_each_other(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SystemExit) as caught:
        seqkd(monkeypatch, *arguments(place, tmp_path, "--greedy", "--temperature", "1"))
    assert caught.value.code == 2
