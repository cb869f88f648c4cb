"""What somebody types who has not read the documentation works, or says what to type."""

import json
import subprocess
import sys
from dataclasses import fields

import pytest
from directories import dskd_run, save_teacher
from places import GOLD

from probe.report.report import MethodFigures
from probe.scoring.scores import METRICS

WORKS = {
    "repr(opened)": "<OpenCheckpoint demo: cma, bundled:demo/student ← bundled:demo/teacher>",
    'opened.map("Return the path.")': "<AttentionMap cma, 4 student × 4 teacher tokens: 'Return the path.'>",
    "opened.map(gold[0])": "<AttentionMap cma, 6 student × 6 teacher tokens: 'Nothing is returned.'>",
    'np.asarray(opened.map("Return the path.")).shape': "(5, 5)",
    'opened.map("Return the path.").frame().loc["␣path"].idxmax()': "␣path",
    "len(gold)": "394",
    "len(probe.read_pairs())": "394",
    'gold["sg-003"].text': "The cat chased the dog, and then the dog chased the cat up a tree.",
    "gold[:3]": "<GoldFile 3 rows>",
    "[row.id for row in gold][:2]": "['demo-001', 'demo-002']",
    "gold[0]": "<GoldRow demo-001, demo~demo-teacher: 'Nothing is returned.', 6 × 6 tokens>",
    "report": "<ProbeReport of demo (demo/student ← demo/teacher), GOLD: 43.3 %",
    'report["uniform"].top1': "0.0339 [0.0297, 0.0387]",
    'float(report["uniform"].top1) < 0.1': "True",
    "report.frame().index[0]": "cma",
    'list(report.frame("phenomenon").columns[:4])': "['sentences', 'tokens', 'cma', 'low']",
    'report.verdict.count("\\n")': "2",
    'probe.align(opened, gold[:12], methods=["uniform"]).origin.gold': "12 rows",
    'probe.align(opened, [row for row in gold if "cjk" in row.phenomena], methods=[]).origin.gold': "rows",
    'probe.align("demo", texts=["The cat sat.", "It sat."]).origin.gold': "2 texts, linked by rule",
    "probe.load(dskd).checkpoint.scales.key_is_estimate": "True",
    'type(probe.plot(gold["demo-001"])).__name__': "Figure",
    'type(probe.plot({n: probe.align(f"demo-cma-step-{n}", methods=[]) for n in (25, 50)})).__name__': "Figure",
    'report.compare(report).loc["top-1", "p"]': "1.0",
    'probe.align_tokens("Return it.", *TWO)': "<TokenAlignment 3 student × 4 teacher tokens, 3 links, 3 groups: ",
}
TEACHES = {
    'opened.map("a", "b")': "Both models read the same sentence",
    'opened.map("")': "map: expected a sentence or a gold row; got str ''",
    "opened.tokenize(None)": "tokenize: expected a text; got None. Write tokenize(",
    'probe.heatmap("text")': "heatmap(probe.load(\"demo\").map('text'))",
    "probe.heatmap(np.ones((3, 3)))": "AttentionMap(",
    "probe.plot(opened)": "plot: expected a map, a report or a gold row; got OpenCheckpoint",
    "probe.plot(3)": "plot: expected a map, a report or a gold row; got int 3",
    'probe.paper_figure("masses")': "Choose one of maps, mass",
    "probe.load(3)": 'Write load("demo")',
    'probe.load("dmo")': "Did you mean demo?",
    'probe.plot({"a": report}, "step")': "Give two or more checkpoints of one run",
    'probe.plot(report, "step")': "{0: report, 100: report}",
    "probe.score_attention(3, *TWO)": "attention: expected a function of two lists of ids; got int 3",
    "probe.AlignmentCallback(*TWO, attention=3)": "attention: expected a function of two lists of ids; got int 3",
    "report.compare(gold)": "compare: expected another report; got GoldFile",
    "probe.align(3)": 'Write align(probe.load("demo"))',
    "probe.align(opened, 3)": 'Write pairs="my.tsv"',
    'probe.align(opened, "nowhere.tsv")': "nowhere.tsv",
    'probe.align(opened, methods=["lexcal"])': "lexical",
    "probe.align(opened, texts=[None])": "texts: expected sentences; got None",
    'report["diagnal"]': "Did you mean diagonal?",
    'report.frame("phenomena")': "Choose one of method, backward, phenomenon",
    'gold["sg-03"]': "Did you mean sg-",
    "gold[None]": "expected a number, an id or a slice",
    'probe.pretrain(rows=3, out="runs")': 'Give a jsonl file, "docstrings", or a list of (prompt, output).',
    'probe.pretrain(rows=[("a", "b")], out="runs", steps=0)': "steps: expected a whole number above 0; got int 0",
    'probe.train("dmo")': "dmo: expected a recipe file, or one of: alignment-study, alignment-study-real,",
    'probe.train("demo", {"training.steps": 5})': 'Write train("demo", "training.steps=100", out="runs/mine")',
    "probe.align(opened, [1])": "pairs: expected a gold file, its path or rows; got list [1]",
    "probe.align_tokens(3, *TWO)": "text: expected a text or a list of texts; got int 3. Write align_tokens(text, stu",
    'probe.align_tokens(["a", None], *TWO)': "text: expected a text or a list of texts; got None",
    'probe.align_tokens(*TWO, "a b")': "teacher_tokenizer: expected a tokenizer",
    'probe.align_tokens("a", *TWO, "rule")': 'method: expected "bytes" or "rules"; got str \'rule\'',
    "probe.algin": "it has probe.align",
    "probe.load(alone)": "teacher=",
}
SCRIPT = """
import json, sys, numpy as np, probe
gold_path, dskd, alone = sys.argv[1:]
TWO = "bundled:demo/student", "bundled:demo/teacher"
opened, gold = probe.load("demo"), probe.read_pairs(gold_path)
report = probe.align(opened, gold, methods=["uniform", "diagonal"])
found = {}
for code in json.load(sys.stdin):
    try:
        found[code] = ["worked", str(eval(code))]
    except (probe.ProbeError, AttributeError) as error:
        found[code] = ["taught", str(error)]
    except Exception as error:
        found[code] = ["failed", repr(error)]
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """What each guess gives, without the checks of types that tests have and users have not."""
    place = tmp_path_factory.mktemp("run")
    save_teacher(place)
    runs = dskd_run(place), dskd_run(place / "alone", arguments={})
    command = [sys.executable, "-c", SCRIPT, str(GOLD), *map(str, runs)]
    guesses = json.dumps([*WORKS, *TEACHES])
    done = subprocess.run(command, input=guesses, capture_output=True, text=True, check=False, cwd=place)
    assert done.returncode == 0, done.stderr
    return {code: (how, text) for code, (how, text) in json.loads(done.stdout).items()}


@pytest.mark.parametrize("code", WORKS)
def test_it_works(found: dict[str, tuple[str, str]], code: str):
    assert found[code][0] == "worked", found[code]
    parts = WORKS[code].split("GOLD: ")
    assert all(part in found[code][1] for part in parts), found[code]


@pytest.mark.parametrize("code", TEACHES)
def test_it_teaches_without_an_option_of_a_command(found: dict[str, tuple[str, str]], code: str):
    how, message = found[code]
    assert how == "taught"
    assert TEACHES[code] in message
    assert "--" not in message


def test_a_figure_of_a_report_is_named_as_its_metric():
    short = {"attention mass": "mass", "attention mass at common entropy": "mass_at_common_entropy"}
    names = [short.get(name, name.lower().replace("-", "").replace(" ", "_")) for name in METRICS]
    assert [field.name for field in fields(MethodFigures)] == names
