"""The functional probe: planted losses by hand, parity with the criterion, a refit that finds what made the data."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from directories import dskd_run, save_teacher
from places import GOLD

from probe.alignment.fitting import Scorable, fitting_rows
from probe.checkpoints.checkpoint import Scales
from probe.checkpoints.loading import load
from probe.cli.align import main
from probe.errors import ProbeError, ReportError
from probe.functional import command
from probe.functional.attentions import Method, has_wrong_occurrences, wrong_occurrences
from probe.functional.inputs import Inputs, gather, open_student
from probe.functional.losses import token_losses
from probe.functional.measure import functional_probe, s2t_counts, t2s_counts
from probe.functional.refit import FitTexts, SampledVocabulary, refit
from probe.functional.refit_texts import read_refit_texts
from probe.functional.report import FitSettings, FunctionalReport
from probe.functional.tables import reading
from probe.functional.texts import Text
from probe.gold.pairs import read_pairs, write_pairs
from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.scoring import references
from probe.stats import Estimate, as_float
from probe.tokens import TokenizedText
from probe.training import terminal
from probe.training.criteria.cma import attend, attended, keys, queries
from probe.training.criteria.logits import Workspace
from probe.training.criteria.projectors import Projectors
from probe.training.criteria.settings import Objective
from probe.training.criteria.step import Side, Step
from probe.training.criteria.views import Counts, Tokens, View

TEXTS = [f"Return the {thing} of the {other}." for thing in ("path", "name", "size") for other in ("file", "lock")]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> FunctionalReport:
    opened = load("demo")
    rows = fitting_rows(opened, read_pairs(GOLD))[:12]
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text("\n".join([*TEXTS, rows[0].text]), encoding="utf-8")
    texts = read_refit_texts(opened, path, rows, FitSettings())
    return functional_probe(opened, Scorable(tuple(rows), 0, "gold.tsv", ""), FitSettings(), lambda part: None, texts)


def a_row() -> GoldRow:
    """ "a b a", one token a letter on both sides, linked in order."""
    student = TokenizedText.from_pieces("aba", ["a", "b", "a"])
    links = frozenset((i, i) for i in range(3))
    return GoldRow("r", "x~y", student, student, links, frozenset(), (), "")


# Planted: teacher states tell the two occurrences apart, targets do not


def planted(row: GoldRow) -> Inputs:
    """Student tokens 0, 1, 2, EOS 3; the state at each teacher position is the student's target there, times five.

    W_t2s is the identity and the target embeddings are zero, so that t2s logits are 5 · A · one-hot(targets).
    """
    labels = torch.tensor([0, 1, 2, 3])
    tokens = Tokens(torch.zeros(1, 4, 8), torch.tensor([[0, 1, 0, 3]]), torch.ones(1, 4, dtype=torch.bool))
    text = Text(labels, tokens, 5 * torch.eye(4)[None], torch.eye(4))
    made = Projectors({"t2s": "t-s", "s2t": "s-t"}, student=4, teacher=4, seed=0)
    with torch.no_grad():
        for name in ("t2s", "s2t"):
            made[name].tensors["0.weight"].copy_(torch.eye(4))
            made[name].tensors["0.bias"].zero_()
    sets = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 1]], dtype=np.float64)
    scales = Scales(key=1.0, hidden=1.0, target=1.0)
    made.requires_grad_(False)
    return Inputs((text,), (sets,), (sets,), torch.eye(4), torch.eye(4), made, scales, Workspace())


def test_the_right_occurrence_teaches_what_the_wrong_one_does_not():
    row = a_row()
    inputs = planted(row)
    assert has_wrong_occurrences(row).tolist() == [True, False, True, False]
    right = t2s_counts(inputs, Method("gold", [references.gold(row)], inputs.texts), inputs.projectors)[0]
    wrong = t2s_counts(inputs, Method("wrong", [wrong_occurrences(row)], inputs.texts), inputs.projectors)[0]
    total = np.exp(5) + 3
    hit, miss = np.log(total) - 5, np.log(total)
    np.testing.assert_allclose(right, [3, 3 * hit, 3, 2, 2 * hit, 2, 4, 4 * hit, 4], rtol=1e-6)
    np.testing.assert_allclose(wrong, [3, 2 * miss + hit, 1, 2, 2 * miss, 0, 4, 2 * miss + 2 * hit, 2], rtol=1e-6)


def test_divergence_in_the_teachers_space_is_the_one_computed_by_hand():
    row = a_row()
    inputs = planted(row)
    found = s2t_counts(inputs, Method("gold", [references.two_way(references.gold, row)], inputs.texts))[0]
    p, q = (np.exp([x, 0, 0, 0]) / (np.exp(x) + 3) for x in (5, 1))
    divergence = (p * np.log(p / q)).sum()
    np.testing.assert_allclose(found, [3, 3 * divergence, 2, 2 * divergence], rtol=1e-5)


def test_values_without_states_or_targets_lack_them():
    inputs = planted(a_row())
    assert not inputs.texts[0].without_states().teacher_states.any()
    text = replace(inputs.texts[0], teacher=inputs.texts[0].teacher._replace(bigrams=torch.ones(1, 4, 8)))
    assert not text.without_targets().teacher.bigrams.any()
    assert text.without_targets().teacher_states.any()


def test_a_token_without_another_occurrence_keeps_its_gold():
    row = a_row()
    weights = wrong_occurrences(row).weights
    assert weights.tolist() == [[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]


def test_chunked_losses_are_those_of_torch():
    rng = torch.Generator().manual_seed(0)
    states, head = torch.randn(23, 5, generator=rng), torch.randn(40, 5, generator=rng)
    labels = torch.randint(40, (23,), generator=rng)
    nll, hits = token_losses(states, head, labels, Workspace(40 * 4 * 3))
    torch.testing.assert_close(nll, torch.nn.functional.cross_entropy(states @ head.T, labels, reduction="none"))
    assert torch.equal(hits, (states @ head.T).argmax(-1) == labels)


# Refitting


def made_texts(projectors: Projectors, head: torch.Tensor, count: int) -> tuple[list[Text], list[torch.Tensor]]:
    """Targets are drawn from the logits of known projectors under a known attention."""
    rng = torch.Generator().manual_seed(1)
    texts, weights = [], []
    for _ in range(count):
        states = torch.randn(1, 6, 3, generator=rng)
        tokens = Tokens(torch.zeros(1, 6, 6), torch.zeros(1, 6, dtype=torch.long), torch.ones(1, 6, dtype=torch.bool))
        a = torch.softmax(3 * torch.randn(5, 6, generator=rng), dim=-1)
        tensors = projectors["t2s"].tensors
        logits = (a @ states[0]) @ tensors["0.weight"].T @ head.T
        texts.append(Text(torch.multinomial(logits.softmax(-1), 1, generator=rng)[:, 0], tokens, states, None))
        weights.append(a)
    return texts, weights


def test_a_refit_reaches_the_loss_of_the_map_that_made_the_data():
    truth, start = (Projectors({"t2s": "t-s"}, student=4, teacher=3, seed=seed) for seed in (5, 6))
    head = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        truth["t2s"].tensors["0.weight"].mul_(4)
        truth["t2s"].tensors["0.bias"].zero_()
    truth.requires_grad_(False)
    start.requires_grad_(False)
    texts, weights = made_texts(truth, head, 150)
    sets = tuple(np.ones((3, 5)) for _ in range(50))
    inputs = Inputs(tuple(texts[:50]), sets, sets, head, None, start, Scales(1.0, 1.0, 1.0), Workspace())
    student, teacher = (TokenizedText.from_pieces(text, list(text)) for text in ("abcd", "abcde"))
    method = Method("made", [AttentionMap("made", student, teacher, a.numpy()) for a in weights[:50]], inputs.texts)
    data = FitTexts.of(texts[50:], weights[50:], [np.ones(5)] * 100)
    fit = refit(start, inputs.scales, head, data, FitSettings(epochs=8, learning_rate=0.05), inputs.workspace)
    before, after, best = (t2s_counts(inputs, method, p).sum(axis=0) for p in (start, fit.projectors, truth))
    assert before[1] > 1.3 * best[1]
    assert after[1] < 1.15 * best[1]
    assert 0.8 < fit.last_loss / (best[1] / best[0]) < 1.15
    assert before[0] == after[0] == best[0] == 250
    assert not fit.projectors["t2s"].tensors["0.weight"].requires_grad


def test_targets_that_do_not_count_do_not_move_a_refit():
    start = Projectors({"t2s": "t-s"}, student=4, teacher=3, seed=0)
    start.requires_grad_(False)
    head = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    texts, weights = made_texts(start, head, 8)
    data = FitTexts.of(texts, weights, [np.zeros(5)] * 8)
    found = refit(start, Scales(1.0, 1.0, 1.0), head, data, FitSettings(), Workspace())
    assert found.last_loss == 0
    assert torch.equal(found.projectors["t2s"].tensors["0.weight"], start["t2s"].tensors["0.weight"])


def test_texts_to_refit_on_are_none_that_it_is_judged_on(tmp_path: Path):
    opened = load("demo")
    gold = fitting_rows(opened, read_pairs(GOLD))[:2]
    texts = ["Return the path.", gold[0].text, "", "Read it twice.", "Return the path.", "Close the file."]
    plain, rows = tmp_path / "texts.txt", tmp_path / "texts.jsonl"
    plain.write_text("\n".join(texts), encoding="utf-8")
    rows.write_text("".join(json.dumps({"output": text}) + "\n" for text in texts if text), encoding="utf-8")
    for path in (plain, rows):
        found = read_refit_texts(opened, path, gold, FitSettings())
        assert [row.text for row in found.rows] == ["Return the path.", "Read it twice.", "Close the file."]
        assert found.judged == 1
        assert len(read_refit_texts(opened, path, gold, FitSettings(most_sentences=2)).rows) == 2
    (row, *_) = found.rows
    np.testing.assert_array_equal(references.gold(row).weights, references.overlap(row).weights)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.txt", None, "No such file"),
        ("gone.jsonl", None, "No such file"),
        ("bytes.txt", b"\xff\xfe", "UTF-8"),
        ("empty.txt", b"\n \n", "expected texts in UTF-8, one a line"),
        ("rows.jsonl", b'{"prompt": "x"}\n', "the field output"),
    ],
)
def test_texts_that_cannot_be_used_are_refused(name: str, content: bytes | None, message: str, tmp_path: Path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ProbeError, match=message):
        read_refit_texts(load("demo"), tmp_path / name, [], FitSettings())


def test_a_vocabulary_drawn_whole_is_the_vocabulary():
    rng = torch.Generator().manual_seed(0)
    head, states = torch.randn(30, 4, generator=rng), torch.randn(7, 4, generator=rng)
    labels = torch.tensor([3, 9, -100, 9, 1, 29, 0])
    vocabulary = SampledVocabulary(head, labels, FitSettings(sampled=100))
    found = vocabulary.loss(states, labels, vocabulary.draw(), Workspace())
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(states @ head.T, labels))


def test_a_sample_stands_for_the_rest_of_the_vocabulary():
    rng = torch.Generator().manual_seed(0)
    head, states = 0.1 * torch.randn(3000, 4, generator=rng), torch.randn(7, 4, generator=rng)
    labels = torch.arange(7)
    vocabulary = SampledVocabulary(head, labels, FitSettings(sampled=500))
    found = vocabulary.loss(states, labels, vocabulary.draw(), Workspace())
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(states @ head.T, labels), atol=0.01, rtol=0)


# A checkpoint


def test_the_trained_row_is_what_the_criterion_logs():
    opened = load("demo")
    rows = fitting_rows(opened, read_pairs(GOLD))[:4]
    inputs, estimated = gather(opened, rows, open_student(opened))
    assert estimated == ()
    for number, row in enumerate(rows):
        text, which = inputs.texts[number], opened.student.bigrams(row.student)
        mask = torch.ones(1, len(text.student_targets), dtype=torch.bool)
        student = Tokens(torch.from_numpy(which[1][which[0]])[None], text.student_targets[None], mask)
        q, k = queries(student, inputs.projectors), keys(text.teacher, inputs.scales)
        attention = attend(q, k, mask, text.teacher.mask)
        width = inputs.head.shape[1]
        projectors = Projectors({"t2s": "t-s", "s2t": "s-t"}, student=width, teacher=128, seed=0)
        with torch.no_grad():
            for key, tensor in projectors["t2s"].tensors.items():
                tensor.copy_(inputs.projectors["t2s"].tensors[key])
        step = Step(
            objective=Objective("cma", only_projectors=True),
            student=View(student, torch.zeros(1, mask.shape[1], width), inputs.head),
            side=Side(View(text.teacher, text.teacher_states, torch.zeros(5, 128))),
            counts=Counts(mask.shape[1], text.teacher.mask.shape[1]),
            workspace=Workspace(),
            projectors=projectors,
            known_scales=inputs.scales,
        )
        terms = attended(step, attention)
        one = replace(inputs, texts=(text,), student_sets=(inputs.student_sets[number],))
        ours = t2s_counts(one, Method("trained", [opened.map(row.student, row.teacher)], (text,)), inputs.projectors)
        targets, nats, hits = ours[0, 6:]
        assert nats / targets == pytest.approx(float(terms.log["t2s_ce_loss"]), rel=1e-4)
        assert hits / targets == pytest.approx(float(terms.log["t2s_acc"]))


def test_equal_attentions_never_differ(report: FunctionalReport):
    again = [0, 0]
    same = replace(
        report, methods=("a", "b"), t2s=report.t2s[:, again], s2t=report.s2t[:, again], seen=report.seen[again]
    )
    for figures in (same.cross_entropy("as trained"), same.accuracy("refitted"), same.cross_entropy("refitted")):
        assert figures[1].difference == Estimate(0.0, 0.0, 0.0)


def test_the_demo_learns_from_its_attention(report: FunctionalReport):
    loss = dict(zip(report.methods, report.cross_entropy("as trained"), strict=True))
    assert as_float(loss["uniform"].difference.low) > 0
    assert as_float(loss["no target"].difference.low) > 2 > abs(as_float(loss["no hidden"].difference.value))
    assert report.no_s2t == "this checkpoint has no s2t projector"
    assert np.isnan(report.divergence()[0].value)
    assert np.isnan(report.cross_entropy("refitted")[report.methods.index("q: mean")].value)
    assert np.isnan(report.seen).tolist() == [name.startswith("q: ") for name in report.methods]
    refitted = ~np.isnan(report.seen)
    nats = report.t2s[:, refitted][..., 1].sum(axis=0)
    assert (nats[:, 0] != nats[:, 1]).all()
    assert (report.refit_on, report.refit_sentences, report.judged_sentences) == ("texts.txt", len(TEXTS), 1)


def test_without_texts_nothing_is_refitted(report: FunctionalReport):
    nan = np.full_like(report.seen, np.nan)
    bare = replace(report, refit_on="", refit_sentences=0, judged_sentences=0, seen=nan)
    assert any("--refit-on" in line for line in reading(bare))
    assert not any("silver" in line for line in reading(bare))


def test_a_report_is_read_back_as_it_was_written(report: FunctionalReport):
    again = FunctionalReport.from_json(report.to_json())
    np.testing.assert_array_equal(again.t2s, report.t2s)
    assert again.to_json() == report.to_json()
    with pytest.raises(ReportError, match="schema 2"):
        FunctionalReport.from_json(json.dumps({"schema": 1}))


def test_a_report_is_shown_in_a_line(report: FunctionalReport):
    found = f"12 sentences, {', '.join(report.methods)}"
    assert repr(report) == f"<FunctionalReport of demo ({report.pair}): {found}>"
    assert len(repr(report)) < 300


# The command


def few_rows(path: Path, count: int = 12) -> Path:
    """A gold file of rows that fit the demo."""
    kept = fitting_rows(load("demo"), read_pairs(GOLD))[:count]
    write_pairs(path, kept, read_pairs(GOLD).comments)
    return path


@pytest.mark.slow
def test_the_command_prints_both_tables_and_writes_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)  # no long paths in the headings
    texts, out = Path("texts.txt"), Path("found.json")
    texts.write_text("\n".join(TEXTS), encoding="utf-8")
    gold = few_rows(Path("few.tsv"))
    assert main(["--pairs", str(gold), "--by", "method", "--functional", str(out), "--refit-on", str(texts)]) == 0
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if len(line.rstrip()) > 80] == []
    for part in ("t2s as trained", "t2s refitted", "wrong occur.", "6 sentences of texts.txt"):
        assert part in " ".join(printed.split()), part
    assert FunctionalReport.from_json(out.read_text(encoding="utf-8")).refit_sentences == len(TEXTS)


def test_without_texts_the_command_says_how_to_refit(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--pairs", str(few_rows(tmp_path / "few.tsv", 3)), "--functional"]) == 0
    printed = capsys.readouterr().out
    assert "t2s as trained" in printed
    assert "t2s refitted" not in printed
    assert "--refit-on FILE" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--refit-on", "texts.txt"], "Add --functional."),
        (["--functional", "--maps", "maps.npz"], "a checkpoint"),
        (["--functional", "out.json", "--checkpoint", "demo", "--checkpoint", "demo-cma"], "one checkpoint"),
        (["--functional", "out.json", "--json", "out.json"], "a different file for each output"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["--pairs", str(GOLD), *options]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert not printed.out


def test_a_missing_extra_is_named_before_anything_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(terminal, "PACKAGES", ("no_such_package",))
    assert main(["--pairs", str(GOLD), "--functional"]) == 2
    printed = capsys.readouterr()
    assert "pip install 'cma-probe[train]'" in printed.err
    assert not printed.out


def test_the_losses_stand_behind_what_was_found_and_files_are_there_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    written = tmp_path / "reports.json"

    def probe(console: Any, opened: Any, *_: Any) -> None:
        assert written.exists()
        console.print(f"losses of {opened.checkpoint.name}")

    monkeypatch.setattr(command, "print_functional", probe)
    names = ["--checkpoint", "demo", "--checkpoint", "demo-cma", "--by", "method", "--methods", "lexical"]
    assert main(["--pairs", str(GOLD), *names, "--functional", "--json", str(written)]) == 0
    out = capsys.readouterr().out
    parts = (
        "demo: cma",
        "demo-cma: cma",
        "points below demo",
        "losses of demo\n",
        "losses of demo-cma\n",
    )
    places = [out.index(part) for part in parts]
    assert places == sorted(places)


# Other checkpoints


def test_a_student_that_is_not_whole_leaves_s2t_out():
    opened = load("demo-cma")
    student = open_student(opened)
    assert student.model is None
    assert student.why_not == "the student's layers were trained and are not in this checkpoint"
    assert student.head.shape == (2048, 96)


def test_an_adopted_directory_has_both_losses(tmp_path: Path):
    save_teacher(tmp_path)
    opened = load(str(dskd_run(tmp_path)), texts=["Return the path of the file."])
    opened = replace(opened, checkpoint=replace(opened.checkpoint, prompt="Write:\n"))
    sides = [opened.tokenize(text) for text in ("the path of the file", "the file of the file", "Read it twice.")]
    rows = tuple(
        GoldRow(str(n), "x~y", *both, frozenset({(0, 0), (1, 1)}), frozenset(), (), "") for n, both in enumerate(sides)
    )
    _, estimated = gather(opened, rows, open_student(opened))
    assert estimated == ("hidden", "target")
    found = functional_probe(opened, Scorable(rows, 0, "mine", ""), FitSettings(), lambda part: None)
    assert found.no_s2t == ""
    assert found.estimated_scales == estimated
    assert all(one.value > 0 for one in found.divergence()[:4])
