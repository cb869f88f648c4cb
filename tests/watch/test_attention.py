"""An attention of somebody else, scored as the same attention of a checkpoint is."""

import numpy as np
import pytest
import torch
from places import ROOT
from safetensors.torch import load_file
from tokenizers import Tokenizer, models

import probe
from probe.watch.attention import attention_figures, exam
from probe.watch.side import Side

DEMO = "bundled:demo/student", "bundled:demo/teacher"
TEXTS = ["Return the maximum of the list.", "the cat and the cat", "naïve 京"]


@pytest.fixture(scope="module")
def attention() -> probe.QueryAttention:
    opened = probe.load("demo")
    tensors = load_file(ROOT / "probe" / "bundled" / "demo" / "projectors.safetensors")
    weight, bias = (tensors[f"query.0.{name}"].float() for name in ("weight", "bias"))
    query = torch.nn.Linear(weight.shape[1], weight.shape[0])
    query.load_state_dict({"weight": weight, "bias": bias})
    models = opened.student, opened.teacher
    tables = [torch.from_numpy(one.table.take(np.arange(one.table.identity().rows))) for one in models]
    before = tuple(one.prompt_end_id for one in models)
    embeddings = [torch.nn.Embedding.from_pretrained(table) for table in tables]
    return probe.QueryAttention(query, *embeddings, key_scale=opened.checkpoint.scales.key, before=before)


def test_it_is_the_attention_of_the_checkpoint(attention: probe.QueryAttention):
    questions = exam(*map(Side.of, DEMO, ("student", "teacher")), TEXTS)
    for number, text in enumerate(TEXTS):
        np.testing.assert_allclose(
            questions.map(attention, number).weights, probe.load("demo").map(text).weights, atol=1e-4
        )
    found = probe.score_attention(attention, *DEMO, texts=TEXTS)
    expected = probe.align("demo", texts=TEXTS, methods=["cma-grid"])
    for method in ("cma", "cma-grid"):
        for name in ("top1", "mrr", "mass_at_common_entropy"):
            ours, theirs = (float(getattr(report[method], name)) for report in (found, expected))
            assert ours == pytest.approx(theirs, abs=2e-3, nan_ok=True), (method, name)
    assert found.origin.gold == "3 texts, linked by rule"


def test_without_the_backward_attention_nothing_is_decoded(attention: probe.QueryAttention):
    found = probe.score_attention(lambda *ids: attention(*ids).over_teacher, *DEMO, texts=TEXTS)
    assert "cma-grid" not in found.methods
    assert set(attention_figures(found)) == {"top-1", "MRR", "mass at common entropy", "repeat confusion"}


def test_figures_have_intervals_on_the_gold_texts(attention: probe.QueryAttention):
    figures = attention_figures(probe.score_attention(attention, *DEMO))
    assert set(figures) > {"decoded top-1", "repeat confusion"}
    for name, one in figures.items():
        assert one.low is not None, name
        assert one.low <= float(one) <= one.high, name
    assert float(figures["decoded top-1"]) > float(figures["top-1"]) > 0.2


@pytest.mark.parametrize("returned", [np.ones((2, 2)), (np.ones((2, 2)), None, None), None, (None, None)])
def test_what_is_no_attention_is_refused(returned: object):
    with pytest.raises(probe.ArgumentError, match="weights of shape"):
        probe.score_attention(lambda *_: returned, *DEMO, texts=TEXTS)


def test_a_tokenizer_has_to_say_what_ends_a_sequence():
    with pytest.raises(probe.ArgumentError, match="eos_token_id"):
        probe.score_attention(lambda *_: None, Tokenizer(models.BPE()), DEMO[1])
