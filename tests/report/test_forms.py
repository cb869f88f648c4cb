"""A report in the forms that other programs read."""

import csv
import io
import json
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from places import GOLD
from rich.console import Console

from probe.alignment.align import align
from probe.cli.align import main
from probe.cli.run import new_console
from probe.gold.pairs import GoldFile, read_pairs, write_pairs
from probe.output.tables import new_table
from probe.report.forms import figures, to_csv, to_latex, to_markdown
from probe.report.frames import FRAMES
from probe.report.report import ProbeReport
from probe.report.tables import SECTIONS
from probe.scoring.scores import COUNTS


@pytest.fixture(scope="module")
def report() -> ProbeReport:
    gold = read_pairs(GOLD)
    demo = tuple(row for row in gold.rows if row.pair.startswith("demo~"))[:15]
    found = align("demo", GoldFile(demo, gold.comments))
    return replace(found, origin=replace(found.origin, command="probe-align --pairs x"))


def test_csv_has_a_line_for_each_figure(report: ProbeReport):
    lines = list(csv.DictReader(io.StringIO(to_csv({"demo": report}))))
    assert len(lines) == len(list(figures("demo", report)))
    (line,) = (one for one in lines if (one["section"], one["method"], one["metric"]) == ("method", "lexical", "top-1"))
    m = report.methods.index("lexical")
    assert float(line["value"]) == report.intervals.value[m, 0]
    assert float(line["low"]) == report.intervals.low[m, 0]
    assert "nan" not in to_csv({"demo": report})


def test_data_frames(report: ProbeReport):
    whole = report.frame("all")
    assert set(whole.checkpoint) == {"demo"}
    assert len(whole) == len(list(figures("demo", report)))
    for section in FRAMES:
        assert len(report.frame(section)) or section == "triple"
    methods = report.frame()
    assert methods.loc["cma", ["top-1", "low", "high"]].tolist() == list(report["cma"].top1)
    assert methods.loc["lexical", "F1"] == report["lexical"].f1.value
    by_sentence = report.frame("sentence")
    assert by_sentence.index.tolist() == list(report.sentences)
    weighted = (by_sentence["cma"] * report.counts[:, 0, COUNTS.index("rows")]).sum() / report.rows
    assert weighted == pytest.approx(report["cma"].top1.value)


def test_latex_and_markdown(report: ProbeReport):
    latex = to_latex({"a_b & c": report})
    assert r"a\_b \& c" in latex.replace(r"\allowbreak ", "")
    assert r"$\leftarrow$" in latex
    assert latex.count(r"\toprule") == latex.count(r"\bottomrule") == latex.count(r"\begin{tabular*}") == 1
    rows = [line for line in latex.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {line.count(" & ") for line in rows} == {5}
    tables = [line for line in to_markdown({"demo": report}).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {7, 5}


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_fits_80_columns(report: ProbeReport, name: str):
    console = Console(width=80)
    with console.capture() as capture:
        console.print(SECTIONS[name](report))
    assert all(len(line.rstrip()) <= 80 for line in capture.get().splitlines())
    assert "…" not in capture.get()


def test_the_command_writes_them_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    gold = read_pairs(GOLD)
    few = tmp_path / "few.tsv"
    write_pairs(few, [row for row in gold.rows if row.pair.startswith("demo~")][:3], gold.comments)
    outputs = [part for form in ("json", "csv", "latex", "markdown") for part in (f"--{form}", str(tmp_path / form))]
    options = ["--pairs", str(few), "--methods", "lexical", "--by", "method"]
    assert main([*options, "--checkpoint", "demo", "--checkpoint", "demo-cma", *outputs]) == 0
    out = capsys.readouterr().out
    assert "lexical" in out
    assert "diagonal" not in out.split("Intervals")[0]
    document = json.loads((tmp_path / "json").read_text())
    assert set(document["reports"]) == {"demo", "demo-cma"}
    assert document["comparisons"][0]["figures"][0]["figure"] == "top-1"
    assert all((tmp_path / form).stat().st_size for form in ("csv", "latex", "markdown"))


def test_a_method_that_is_not_known(capsys: pytest.CaptureFixture[str]):
    assert main(["--pairs", str(GOLD), "--methods", "lexical,diagonale"]) == 2
    err = capsys.readouterr().err
    assert "diagonale" in err
    assert "uniform, diagonal, lexical" in err


@pytest.fixture(scope="module")
def reports(report: ProbeReport) -> dict[str, ProbeReport]:
    """Two, one of them without backward attention; names that Markdown and LaTeX would trip over."""
    return {"a|b_1 & 50 % ~#2": report, "other": replace(report, backward=np.full_like(report.backward, np.nan))}


def test_csv_is_the_data_frame_and_says_nothing_twice(reports: dict[str, ProbeReport]):
    import pandas

    read = pandas.read_csv(io.StringIO(to_csv(reports)))
    both = pandas.concat([one.frame("all").assign(checkpoint=name) for name, one in reports.items()], ignore_index=True)
    pandas.testing.assert_frame_equal(read, both, check_dtype=False)
    keys = read[["checkpoint", "section", "group", "method", "metric"]].itertuples(index=False, name=None)
    assert set(Counter(keys).values()) == {1}
    sections = ("method", "backward", "phenomenon", "length", "token", "aligner", "destination")
    assert set(read.section) == set(sections)
    assert read[(read.checkpoint == "other") & (read.section == "backward")].value.isna().all()


def test_latex_is_one_table_of_booktabs(reports: dict[str, ProbeReport]):
    text = "\n".join(line for line in to_latex(reports).splitlines() if not line.startswith("%"))
    plain = re.sub(r"\\[{}&%_#~]", "", text)
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    rules = (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular*}", r"\end{tabular*}")
    assert [text.count(rule) for rule in rules] == [1, 2, 1, 1, 1]
    assert not re.search(r"(?<!\\)[%#_]", text)


@pytest.fixture(scope="module")
def wide(report: ProbeReport) -> dict[str, ProbeReport]:
    """Reports with long names: of a checkpoint with and without places to break it, of models and of a method."""
    origin = replace(report.origin, pair="Qwen/Qwen2.5-1.5B-Instruct ← openai-community/gpt2-medium")
    long = replace(report, origin=origin, methods=("softmax of another aligner", *report.methods[1:]))
    return {
        "demo": report,
        "dskd-cma-ga-qwen2.5-to-gpt2-seed-10-step-7140": long,
        f"run_{'0123456789abcdef' * 4}": long,
    }


def test_a_latex_table_is_narrow_whatever_the_names(wide: dict[str, ProbeReport]):
    latex = to_latex(wide)
    titles = re.findall(
        r"\\multicolumn\{6\}\{@\{\}l@\{\}\}\{\\rlap\{\\parbox\[t\]\{\\linewidth\}\{\\raggedright (.*)\\strut", latex
    )
    assert len(titles) == latex.count("multicolumn") == 3
    for title in titles:  # in a box without width, which LaTeX can break everywhere
        assert max(map(len, re.split(r"\\allowbreak |\s|-", title))) <= 26
    rows = [line.removesuffix(r" \\").split(" & ") for line in latex.splitlines() if line.count(" & ") == 5]
    plain = [[re.sub(r"\\interval |[{}]", "", cell) for cell in row] for row in rows]
    assert sum(max(map(len, column)) for column in zip(*plain, strict=True)) <= 45  # 191 points if each has half of 8.5
    assert [row[0] for row in plain].count("softma…igner") == 2


@pytest.mark.parametrize(
    ("points", "width"), [(11, "7.7cm"), (10, "86mm"), (10, "5.5in")], ids=["ACL", "ICASSP", "NeurIPS"]
)
def test_latex_fits_the_table_into_a_column(tmp_path: Path, wide: dict[str, ProbeReport], points: int, width: str):
    if not shutil.which("pdflatex") or not run_latex(["kpsewhich", "booktabs.sty"], tmp_path):
        pytest.skip("no pdflatex with booktabs on this machine")
    head = rf"\documentclass[{points}pt]{{article}}\usepackage{{booktabs}}\textwidth={width}\pagestyle{{empty}}"
    body = rf"{head}\begin{{document}}\noindent{chr(10)}{to_latex(wide)}\end{{document}}"
    (tmp_path / "table.tex").write_text(body, encoding="utf-8")
    said = run_latex(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"], tmp_path)
    assert (tmp_path / "table.pdf").exists(), said
    assert "Overfull" not in said


def run_latex(command: list[str], directory: Path) -> str:
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize(
    ("char", "written"),
    [("\\", r"\textbackslash{}"), ("{", r"\{"), ("}", r"\}"), ("$", r"\$"), ("^", r"\textasciicircum{}")],
)
def test_latex_escapes_what_a_name_may_hold(char: str, written: str, report: ProbeReport):
    assert f"a{written}b, demo" in to_latex({f"a{char}b": report})


def test_markdown_has_as_many_cells_in_each_row_of_a_table(reports: dict[str, ProbeReport]):
    tables = re.findall(r"(?:^\|.*\n)+", to_markdown(reports), re.M)
    assert len(tables) == 4  # methods and phenomena, of two
    for table in tables:
        lines = table.splitlines()
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
        assert re.fullmatch(r"\| ---( \| ---:)+ \|", lines[1])


def test_named_methods_are_printed_beside_uniform_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    gold = read_pairs(GOLD)
    few = tmp_path / "few.tsv"
    write_pairs(few, [row for row in gold.rows if row.pair.startswith("demo~")][:3], gold.comments)
    assert main(["--pairs", str(few), "--methods", "lexical", "--by", "method"]) == 0
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines() if re.match(r" \S+ +\d+\.\d ", line)]
    assert rows == ["cma", "uniform", "lexical"]
    csv_file = tmp_path / "x.csv"
    assert main(["--pairs", str(few), "--methods", "lexical,bad", "--csv", str(csv_file)]) == 2
    assert capsys.readouterr().err.count("expected") == 1
    assert not csv_file.exists()


def test_a_figure_that_is_undefined_is_a_dash(report: ProbeReport):
    counts = report.counts.copy()
    counts[:, 1, COUNTS.index("predicted") : COUNTS.index("sure")] = 0  # of no links there is no F1
    odd = replace(report, counts=counts)
    for text in (to_latex({"x": odd}), to_markdown({"x": odd})):
        assert "nan" not in text
        assert "–" in text


def test_markdown_takes_no_name_for_markup(report: ProbeReport):
    named = "*a* <b>_c_ [d](e) |f|\x1b[31m"
    origin = replace(report.origin, pair=named)
    text = to_markdown({named: replace(report, origin=origin, methods=(named, *report.methods[1:]))})
    assert "\x1b" not in text
    assert text.count(r"\*a\* \<b\>\_c\_ [d]\(e) \|f\|⟨U+001B⟩[31m") == 4
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.split(r"(?<!\\)\|", line)) for line in tables} == {8, 6}


def test_a_terminal_obeys_no_name(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    console = new_console()
    console.print("a\x1b[31mb\rc\td")
    table = new_table("name", "n")
    table.add_row("x\x1b]0;title\x07", "1")
    console.print(table)
    assert main(["--pairs", str(tmp_path / "no\x1b[31m.tsv")]) == 2
    out, err = capsys.readouterr()
    assert not set("\x1b\r\x07") & set(out + err)
    assert "⟨U+001B⟩[31m" in out
    assert "⟨U+001B⟩[31m" in err
