import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from probe.errors import MissingExtraError, TrainingError
from probe.training.data.corpus import PUBLISHED, ColumnMap, Template, hold_out, read_corpus
from probe.training.examples import Example

DOLLY = ColumnMap("instruction", "context", "response")
WITH_INPUT = """Below is an instruction that describes a task, paired with an input that provides further context. \
Write a response that appropriately completes the request.

### Instruction:
When did it start?

### Input:
{It} started in 2000.

### Response:
"""
WITHOUT_INPUT = """Below is an instruction that describes a task. \
Write a response that appropriately completes the request.

### Instruction:
Which is a fish?

### Response:
"""
ROWS = [
    {"instruction": "When did it start?", "context": "{It} started in 2000.", "response": "In 2000.", "category": "qa"},
    {"instruction": "Which is a fish?", "context": "", "response": "Tope,\n“of course”", "category": "qa"},
]
EXAMPLES = [Example(WITH_INPUT, "In 2000."), Example(WITHOUT_INPUT, "Tope,\n“of course”")]


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def problems(*arguments: Any, **options: Any) -> list[str]:
    with pytest.raises(TrainingError) as caught:
        read_corpus(*arguments, **options)
    return [str(problem) for problem in caught.value.problems]


# Sources


def test_a_directory_gives_each_split_with_its_prompt_as_it_is(tmp_path: Path):
    for split in ("train", "dev", "test"):
        write_jsonl(tmp_path / f"{split}.jsonl", [{"prompt": f"{split}: {{x}}", "output": ["a", "b"], "topic": "c"}])
        assert read_corpus(str(tmp_path), split) == [Example(f"{split}: {{x}}", "a")]


def test_a_missing_split_says_which_files_are_there(tmp_path: Path):
    write_jsonl(tmp_path / "train.jsonl", ROWS)
    (tmp_path / "notes.txt").touch()
    assert problems(str(tmp_path), "dev") == [
        f"{tmp_path}: expected dev.jsonl, dev.csv or dev.parquet; got only notes.txt, train.jsonl. "
        "Name another directory, a file, or rows to hold out where there is no dev split."
    ]


def test_columns_make_the_published_prompt(tmp_path: Path):
    file = write_jsonl(tmp_path / "dolly.jsonl", ROWS)
    assert read_corpus(str(file), "train", DOLLY) == EXAMPLES


@pytest.mark.parametrize("missing", [None, ""])
def test_no_input_is_null_or_empty_or_no_column(tmp_path: Path, missing: str | None):
    file = write_jsonl(tmp_path / "rows.jsonl", [ROWS[1] | {"context": missing}])
    assert read_corpus(str(file), "train", DOLLY) == read_corpus(str(file), "train", ColumnMap()) == EXAMPLES[1:]


def test_another_template_can_be_given(tmp_path: Path):
    file = write_jsonl(tmp_path / "rows.jsonl", ROWS)
    template = Template("{input} {instruction}", PUBLISHED.without_input)
    assert read_corpus(str(file), "train", DOLLY, template)[0].prompt == "{It} started in 2000. When did it start?"


def test_csv_with_quoted_lines_and_a_byte_order_mark_reads_as_jsonl_does(tmp_path: Path):
    text = "instruction,context,response\r\nWhen did it start?,{It} started in 2000.,In 2000.\r\n"
    text += 'Which is a fish?,,"Tope,\n“of course”"\r\n'
    (tmp_path / "train.csv").write_text(text, encoding="utf-8-sig", newline="")
    assert read_corpus(str(tmp_path), "train", DOLLY) == EXAMPLES


def test_parquet_reads_as_jsonl_does(tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pytest.importorskip("pyarrow").Table.from_pylist([ROWS[0], ROWS[1] | {"context": None}])
    parquet.write_table(table, tmp_path / "train.parquet")
    assert read_corpus(str(tmp_path), "train", DOLLY) == EXAMPLES
    (tmp_path / "dev.parquet").write_bytes(b"no parquet")
    assert "expected a parquet file" in problems(str(tmp_path), "dev", DOLLY)[0]


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "train.parquet").touch()
    with pytest.raises(MissingExtraError, match="pip install pyarrow"):
        read_corpus(str(tmp_path), "train", DOLLY)


def test_a_hub_dataset_is_one_file_of_it(tmp_path: Path):
    asked: list[tuple[Any, ...]] = []

    def download(repository: str, name: str, **options: Any) -> str:
        asked.append((repository, name, options))
        return str(write_jsonl(tmp_path / "downloaded.jsonl", ROWS))

    for source in ("owner/some-data", "owner/some-data:raw/all.jsonl", "owner/some-data@v1.0:all.jsonl"):
        assert read_corpus(source, "dev", DOLLY, download=download) == EXAMPLES
    assert asked == [
        ("owner/some-data", "dev.jsonl", {"repo_type": "dataset", "revision": None}),
        ("owner/some-data", "raw/all.jsonl", {"repo_type": "dataset", "revision": None}),
        ("owner/some-data", "all.jsonl", {"repo_type": "dataset", "revision": "v1.0"}),
    ]


def test_a_hub_that_cannot_be_asked_is_named_with_the_file():
    [problem] = problems("owner/some-data@v1:all.jsonl", "train")  # tests are off line
    assert problem.startswith("hub dataset owner/some-data@v1: expected the file all.jsonl; got LocalEntryNotFound")


@pytest.mark.parametrize("source", ["here/missing", "no such thing", "/no/such/file.jsonl", "", "data/dolly", "../a"])
def test_a_mistyped_path_goes_to_no_hub(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)

    def download(*_: Any, **__: Any) -> str:
        raise NotImplementedError

    [problem] = problems(source, "train", download=download)
    assert "expected a" in problem
    assert "NotImplementedError" not in problem


def test_another_kind_of_file_is_refused(tmp_path: Path):
    (tmp_path / "rows.json").write_text("[]")
    assert problems(str(tmp_path / "rows.json"), "train")[0].endswith("one JSON object a line.")


# Bad rows


BAD = {
    "not json": "expected a JSON object; got Expecting value",
    "[1]": "expected a JSON object; got [1].",
    '{"instruction": "a", "context": ""}': "the field response; got only instruction, context. Add it, or say which",
    '{"instruction": "a", "response": "b"}': "the field context; got only instruction, response.",
    '{"instruction": "a", "context": "", "response": " "}': "text in the field response; got ' '. Fill it in",
    '{"instruction": "", "context": "", "response": "b"}': "text in the field instruction; got ''.",
    '{"instruction": "a", "context": 3, "response": "b"}': "text in the field context; got 3.",
    '{"instruction": "a", "context": "", "response": []}': "text in the field response; got [].",
    '{"instruction": "a", "context": "", "response": "\\ud83d"}': "half of a surrogate pair",
}


def test_all_bad_rows_are_listed_with_file_and_line(tmp_path: Path):
    good = json.dumps(ROWS[0])
    lines = [line for bad in BAD for line in (bad, good)]
    (tmp_path / "train.jsonl").write_bytes("\n".join(lines).encode() + b'\n{"instruction": "\xff"}\n')
    found = problems(str(tmp_path), "train", DOLLY)
    expected = [*BAD.values(), "expected a JSON object; got byte 0xFF at line 1, column 18, which is not UTF-8"]
    assert len(found) == len(expected)
    for number, (problem, part) in enumerate(zip(found, expected, strict=True)):
        assert problem.startswith(f"train.jsonl:{2 * number + 1}: ")
        assert part in problem


def test_bad_rows_of_csv_are_named_by_their_first_line(tmp_path: Path):
    text = 'instruction,context,response\na,,"b\nc"\nd,,\ne\nf,,g\n"h"h,,i\n'
    (tmp_path / "train.csv").write_text(text)
    found = problems(str(tmp_path), "train", DOLLY)
    assert [problem.split(": ")[0] for problem in found] == ["train.csv:4", "train.csv:5", "train.csv:7"]
    assert "text in the field response; got ''" in found[0]
    assert "the field context; got only instruction" in found[1]
    assert "comma-separated values" in found[2]


@pytest.mark.parametrize(("name", "text"), [("train.jsonl", ""), ("train.csv", "prompt,output\n"), ("train.csv", "")])
def test_a_file_without_rows_is_refused(tmp_path: Path, name: str, text: str):
    (tmp_path / name).write_text(text)
    assert "expected at least one row; got none" in problems(str(tmp_path), "train")[0]


# Held-out rows


def rows_of(count: int) -> list[Example]:
    return [Example(f"{number}", "a") for number in range(count)]


def test_held_out_rows_are_a_function_of_the_seed_and_keep_their_order():
    rows = rows_of(40)
    kept, held = hold_out(rows, 7, seed=3)
    assert (len(kept), len(held)) == (33, 7)
    assert sorted([*kept, *held], key=rows.index) == rows
    assert all(part == sorted(part, key=rows.index) for part in (kept, held))
    assert hold_out(rows, 7, seed=3) == (kept, held)
    assert hold_out(rows, 7, seed=4) != (kept, held)


def test_held_out_rows_are_the_same_in_another_process():
    code = "from probe.training.data.corpus import hold_out; from probe.training.examples import Example\n"
    code += "print([int(r.prompt) for r in hold_out([Example(str(n), 'a') for n in range(40)], 7, 3)[1]])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [int(row.prompt) for row in hold_out(rows_of(40), 7, seed=3)[1]]


@pytest.mark.parametrize("count", [-1, 0, 5, 6])
def test_a_count_that_leaves_one_side_empty_is_refused(count: int):
    with pytest.raises(TrainingError, match="between 1 and 4 rows to hold out of 5"):
        hold_out(rows_of(5), count, seed=0)


def test_the_published_template_is_the_probes_prompt():
    from probe.checkpoints.dskd import PROMPT

    assert PUBLISHED.prompt("{a}", "") == PROMPT.format(instruction="{a}")


def test_reading_needs_neither_torch_nor_datasets():
    hidden: Mapping[str, None] = dict.fromkeys(("torch", "transformers", "datasets", "pyarrow"))
    code = f"import sys; sys.modules |= {hidden}; import probe.training.data.corpus"
    subprocess.run([sys.executable, "-c", code], check=True)
