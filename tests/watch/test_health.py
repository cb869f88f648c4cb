"""Alignment health: its figures by hand, and what it says of broken templates."""

import math

import pytest
import tiny_models as tiny

import probe
from probe.watch.marks import template_findings
from probe.watch.side import Side

DEMO = "bundled:demo/student", "bundled:demo/teacher"


def test_figures_are_those_of_the_groups():
    texts = ["Return the maximum.", "naïve"]
    found = probe.alignment_health(texts, *DEMO)
    aligned = [probe.align_tokens(text, *DEMO, add_special_tokens=False) for text in texts]
    groups = [(len(ours), len(theirs)) for one in aligned for ours, theirs in one.groups]
    assert found.groups == len(groups)
    assert found.student_size == pytest.approx(sum(ours for ours, _ in groups) / len(groups))
    unequal = sum(ours for ours, theirs in groups if ours != theirs)
    assert found.unequal == pytest.approx(unequal / sum(ours for ours, _ in groups))
    assert found.largest == max(groups, key=max)
    assert (found.texts, found.differing, found.coverage, found.findings) == (2, 0, 1.0, ())
    assert set(found.figures()) >= {"coverage", "largest group", "tokens in unequal groups", "texts that differ"}
    assert "Return" not in found.largest_text
    assert str(found).startswith("Nothing looks wrong.\n2 texts")
    assert str(found).count("\n") == 3


def test_a_tokenizer_that_changes_texts_shows_in_coverage_and_in_words():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    lower = Tokenizer(models.BPE())
    lower.normalizer, lower.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.ByteLevel(add_prefix_space=False)
    learner = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    lower.train_from_iterator(["the cat sat"], learner)
    found = probe.alignment_health(["THE CAT", "the cat"], DEMO[0], lower)
    assert found.differing == 1
    assert 0 < found.coverage < 1
    assert found.findings[0].startswith("1 of 2 texts cannot be aligned. teacher_tokenizer on 'THE CAT'")
    nothing = probe.alignment_health(["THE CAT"], DEMO[0], lower)
    assert nothing.coverage == 0
    assert math.isnan(nothing.unequal)


def test_marks_say_whose_they_are():
    ours, theirs = tiny.tokenizer("student", marks=["<|user|>"]), tiny.tokenizer("teacher")
    lines = probe.alignment_health(["<|user|>Hi<s>", "<|im_start|>Hi", "<|user|>"], ours, theirs).findings
    assert [line.partition(",")[0].partition(":")[0] for line in lines] == [
        "'<|user|>' is a mark of the student's alone",
        "'<s>' is a mark of the teacher's alone",
        "'<|im_start|>' is a mark of neither tokenizer",
    ]


def test_other_ids_than_the_tokenizer_gives_are_seen():
    text = "Return the maximum."
    ids = list(probe.align_tokens(text, *DEMO, add_special_tokens=False).student.ids)
    assert probe.alignment_health([text], *DEMO, student_ids=[ids]).differing == 0
    found = probe.alignment_health([text], *DEMO, student_ids=[ids[:-1]])
    assert found.differing == 1
    assert "1 of 1 texts have other ids" in found.findings[0]


def test_a_beginning_that_comes_twice_is_seen():
    theirs = tiny.tokenizer("teacher")  # as the student, because it has a BOS
    assert "begin with '<s>' twice" in probe.alignment_health(["<s><s>Hello"], theirs, theirs).findings[0]
    assert probe.alignment_health(["<s>Hello"], theirs, theirs).findings == ()


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (tiny.PLAIN, None),
        (None, None),
        ("{% for m in messages %}{{ m.role }}{% endfor %}", "writes what the user says 0 times"),
        ("{{ messages[0].content }}", "writes what the assistant says 0 times"),
        ("{{ raise_exception('no') }}", "chat template fails"),
        (tiny.PLAIN.replace("'assistant: '", "'model: '"), "writes another beginning"),
    ],
)
def test_templates_that_lose_a_message(template: str | None, said: str | None):
    found = template_findings(Side.of(tiny.tokenizer("student", template), "student"))
    assert (found == []) if said is None else said in found[0]


def test_wrong_arguments():
    with pytest.raises(probe.ArgumentError, match="a list of texts"):
        probe.alignment_health("a text", *DEMO)
    with pytest.raises(probe.ArgumentError, match="teacher_tokenizer"):
        probe.alignment_health(["a text"], DEMO[0], 3)


class Encoding:
    """In the form of tiktoken: single bytes and one mark."""

    special_tokens_set = frozenset({"<|endoftext|>"})
    eot_token = 256

    def encode(self, text: str, *, allowed_special: str) -> list[int]:
        first, *others = ([*part.encode()] for part in text.split("<|endoftext|>"))
        return first + [id_ for part in others for id_ in (self.eot_token, *part)]

    encode_ordinary = encode

    def decode_single_token_bytes(self, id_: int) -> bytes:
        return b"<|endoftext|>" if id_ == self.eot_token else bytes([id_])

    def encode_single_token(self, mark: str) -> int:
        assert mark in self.special_tokens_set
        return self.eot_token

    def decode(self, ids: list[int]) -> str:
        return b"".join(map(self.decode_single_token_bytes, ids)).decode()


def test_an_encoding_in_the_form_of_tiktoken():
    encoding, theirs = Encoding(), tiny.tokenizer("teacher")
    found = probe.alignment_health(["a cat<|endoftext|>"], encoding, theirs)
    assert found.coverage == 1
    assert found.findings[0].startswith("'<|endoftext|>' is a mark of the student's alone")
    side = Side.of(encoding, "student")
    assert (side.eos_id, side.special, side.decode([97, 256])) == (256, {256: "<|endoftext|>"}, "a<|endoftext|>")
