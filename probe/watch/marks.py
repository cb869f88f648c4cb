"""Marks of chat templates in a text, and in how many tokens each side cuts them: where broken templates show."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from probe.alignment.token_alignment import TokenAlignment
from probe.alignment.token_spans import TokenSpans
from probe.watch.side import Side

LOOKS_LIKE = r"<\|[^\s|<>]{1,40}\|>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>"
"""Marks of templates in use, whatever vocabulary they are of."""
QUESTION, ANSWER = "What is on the mat?", "The cat sat there."


class Mark(NamedTuple):
    """A mark in a text and the numbers of tokens that have a part of it."""

    text: str
    student: int
    teacher: int
    doubled: bool = False
    """Whether it begins the text twice."""


def marks_in(found: TokenAlignment, student: Side, teacher: Side) -> list[Mark]:
    """Each mark of a text, once a place."""
    special = {*student.special.values(), *teacher.special.values()}
    text = found.student.text
    # The longest first, for a mark may begin as another one does.
    names = "|".join(map(re.escape, sorted(filter(None, special), key=len, reverse=True)))
    pattern = f"{names}|{LOOKS_LIKE}" if names else LOOKS_LIKE
    marks: list[Mark] = []
    for match in re.finditer(pattern, text):
        bounds = len(text[: match.start()].encode()), len(text[: match.end()].encode())
        counts = (_tokens_within(side, *bounds) for side in (found.student, found.teacher))
        begins = student.bos_id is not None and match[0] == student.special.get(student.bos_id)
        again = text[match.end() :].lstrip().startswith(match[0])
        marks.append(Mark(match[0], *counts, doubled=begins and again and match.start() == 0))
    return marks


def _tokens_within(side: TokenSpans, start: int, end: int) -> int:
    """How many tokens share a byte with a part of the text."""
    starts, ends = side.byte_spans.T
    return int(((starts < end) & (ends > start)).sum())


def sentences(marks: Sequence[Mark], refused: Sequence[str], others: int, texts: int) -> tuple[str, ...]:
    """What looks wrong, the most serious first."""
    found = [f"{len(refused)} of {texts} texts cannot be aligned. {refused[0]}"] if refused else []
    if doubled := [mark for mark in marks if mark.doubled]:
        found.append(
            f"{len(doubled)} of {texts} texts begin with {doubled[0].text!r} twice: the chat template writes it, and "
            "the tokenizer adds it. Tokenise with add_special_tokens=False."
        )
    found += [line for mark in Counter(mark._replace(doubled=False) for mark in marks) if (line := _of_mark(mark))]
    if others:
        found.append(
            f"{others} of {texts} texts have other ids in the batch than the student's tokenizer gives them: they were "
            "sampled, or cut, or another tokenizer made the batch."
        )
    return tuple(dict.fromkeys(found))


def _of_mark(mark: Mark) -> str:
    ours, theirs = mark.student, mark.teacher
    if ours > 1 and theirs > 1:
        cut = f"{ours} student and {theirs} teacher tokens"
        return f"{mark.text!r} is a mark of neither tokenizer: {cut}. Is the chat template of another model?"
    if ours > 1:
        whose = "the teacher's alone, and the student reads it as"
        return f"{mark.text!r} is a mark of {whose} {ours} tokens. Is this the teacher's chat template?"
    if theirs > 1:
        whose = "the student's alone, and the teacher reads it as"
        remedy = "Give the teacher its own chat template, or leave marks out of the loss."
        return f"{mark.text!r} is a mark of {whose} {theirs} tokens. {remedy}"
    return ""


def template_findings(side: Side) -> list[str]:
    """What the chat template of a tokenizer loses of a conversation; nothing where it has none.

    Templates may refuse what they are given, by errors of their own, which are reported as they are.
    """
    tokenizer: Any = side.tokenizer
    if not getattr(tokenizer, "chat_template", None):
        return []
    asked = {"role": "user", "content": QUESTION}
    talk = [asked, {"role": "assistant", "content": ANSWER}]
    try:
        written = str(tokenizer.apply_chat_template(talk, tokenize=False))
        prompt = str(tokenizer.apply_chat_template([asked], tokenize=False, add_generation_prompt=True))
    # Broad, because a template is a program of somebody else, and raises what it likes.
    except Exception as error:
        return [f"The {side.role}'s chat template fails: {type(error).__name__}: {error}"]
    found: list[str] = []
    for content, who in ((QUESTION, "user"), (ANSWER, "assistant")):
        if (times := written.count(content)) != 1:
            found.append(f"The {side.role}'s chat template writes what the {who} says {times} times: {written[:80]!r}.")
    if not written.startswith(prompt):
        found.append(
            f"The {side.role}'s chat template writes another beginning with an answer than for generation: "
            f"{prompt[-30:]!r} is no part of {written[-60:]!r}."
        )
    return found
