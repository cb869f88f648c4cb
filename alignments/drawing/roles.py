"""Dialogues in two chat templates, as rows that lack only their role links."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import tokenizers as backends
from tokenizers import AddedToken

from probe.gold.rows import ROLES, GoldRow
from probe.gold.rules import rule_links
from probe.models.tokenizer import Tokenizer
from probe.tokens import Token, TokenizedText

Message = tuple[str, str]
"""Who speaks (``system``, ``user``, ``assistant``, ``think``, ``call``, ``tool``), and what."""
Part = tuple[str, bool]
"""A piece of a prompt, and whether it is the text of the dialogue; else the template's."""

DIALOGUES: Mapping[str, Sequence[Message]] = {
    "one turn": [("user", "Name a river."), ("assistant", "The Elbe.")],
    "a question alone": [("user", "Is it raining?")],
    "two turns": [("user", "Hi."), ("assistant", "Hello."), ("user", "Bye."), ("assistant", "See you.")],
    "a question after a turn": [("user", "2 + 2?"), ("assistant", "4."), ("user", "Are you sure?")],
    "instruction": [("system", "Answer in one word."), ("user", "Capital of Peru?"), ("assistant", "Lima.")],
    "instruction and two turns": [
        *(("system", "Be kind."), ("user", "I lost."), ("assistant", "Try again.")),
        *(("user", "Thanks."), ("assistant", "Any time.")),
    ],
    "thought": [("user", "Is 7 prime?"), ("think", "7 has no divisors."), ("assistant", "Yes.")],
    "tool": [("user", "Time in Oslo?"), ("call", "clock(Oslo)"), ("tool", "14:05"), ("assistant", "Five past two.")],
    "code": [("user", "Print 1 in C."), ("assistant", "puts(1);")],
}

LLAMA_3 = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|python_tag|>")
QWEN_3 = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
MISTRAL_3 = ("[INST]", "[/INST]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]")
ADDED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "gpt2+llama3": ("gpt2", LLAMA_3),
    "qwen1.5+qwen3": ("qwen1.5", QWEN_3),
    "mistral+v3": ("mistral", MISTRAL_3),
}
"""Tokenizers to which the special tokens of a later model were added, as before fine-tuning: name, base, tokens."""

PAIRS = (
    *("smollm2~gemma3", "gpt2+llama3~gemma3", "tinyllama~mistral", "qwen1.5~mistral", "gpt2~qwen1.5"),
    *("qwen1.5+qwen3~gemma3", "mistral+v3~qwen1.5+qwen3", "smollm2~gpt2+llama3", "tinyllama~gemma3"),
)
WITHOUT_TOOLS = ("smollm2", "tinyllama", "gpt2", "qwen1.5", "mistral")
"""Their templates have no place for a call."""


def t(text: str) -> Part:
    """A part of the template."""
    return text, False


def chatml(messages: Sequence[Message], *, default: str = "") -> list[Part]:
    """ChatML; of Qwen 3 the tags of thoughts and tools."""
    parts = [t(f"<|im_start|>system\n{default}<|im_end|>\n")] if default and messages[0][0] != "system" else []
    inside = False
    for who, text in messages:
        opened = (
            "" if inside else f"<|im_start|>{'user' if who == 'tool' else 'assistant' if who == 'think' else who}\n"
        )
        if who == "call":
            parts += [t("<|im_start|>assistant\n<tool_call>\n"), (text, True), t("\n</tool_call><|im_end|>\n")]
        elif who == "tool":
            parts += [t(f"{opened}<tool_response>\n"), (text, True), t("\n</tool_response><|im_end|>\n")]
        elif who == "think":
            parts += [t(f"{opened}<think>\n"), (text, True), t("\n</think>\n\n")]
        else:
            parts += [t(opened), (text, True), t("<|im_end|>\n")]
        inside = who == "think"
    return parts if messages[-1][0] != "user" else [*parts, t("<|im_start|>assistant\n")]


def gemma(messages: Sequence[Message]) -> list[Part]:
    """Gemma's turns: an instruction stands in the user's first turn, a call in a block of code."""
    parts, opened = [t("<bos>")], ""
    for number, (who, text) in enumerate(messages):
        name = "user" if who in ("system", "user", "tool") else "model"
        if opened != name:
            parts.append(t(f"<start_of_turn>{name}\n"))
        if who == "system":
            parts += [(text, True), t("\n\n")]
        elif who == "think":
            parts += [t("<think>\n"), (text, True), t("\n</think>\n")]
        elif who in ("call", "tool"):
            fence = "tool_code" if who == "call" else "tool_output"
            parts += [t(f"```{fence}\n"), (text, True), t("\n```")]
        else:
            parts.append((text, True))
        opened = name if who in ("system", "think") else ""
        if not opened:
            parts.append(t("<end_of_turn>\n"))
        if number == len(messages) - 1 and who == "user":
            parts.append(t("<start_of_turn>model\n"))
    return parts


def llama_3(messages: Sequence[Message]) -> list[Part]:
    """Llama 3's headers."""
    parts = [t("<|begin_of_text|>")]
    inside = False
    for who, text in messages:
        name = {"tool": "ipython", "call": "assistant", "think": "assistant"}.get(who, who)
        header = "" if inside else f"<|start_header_id|>{name}<|end_header_id|>\n\n"
        if who == "think":
            parts += [t(f"{header}<think>\n"), (text, True), t("\n</think>\n")]
        else:
            tag = "<|python_tag|>" if who == "call" else ""
            parts += [t(header + tag), (text, True), t("<|eot_id|>")]
        inside = who == "think"
    end = "<|start_header_id|>assistant<|end_header_id|>\n\n"
    return parts if messages[-1][0] != "user" else [*parts, t(end)]


def inst(messages: Sequence[Message]) -> list[Part]:
    """Mistral's instructions: ``[INST]`` and ``[/INST]``, calls as in its third version."""
    parts, waiting = [t("<s>")], False
    for who, text in messages:
        if who in ("system", "user"):
            parts += [] if waiting else [t("[INST] ")]
            parts += [(text, True), t("\n\n" if who == "system" else " [/INST] ")]
            waiting = who == "system"
        elif who == "think":
            parts += [t("<think>\n"), (text, True), t("\n</think>\n")]
        elif who == "tool":
            parts += [t("[TOOL_RESULTS] "), (text, True), t("[/TOOL_RESULTS]")]
        else:
            parts += [t("[TOOL_CALLS] ")] if who == "call" else []
            parts += [(text, True), t("</s>")]
    return parts


def zephyr(messages: Sequence[Message]) -> list[Part]:
    """TinyLlama's chat template: tags of plain text, and EOS after each turn."""
    parts: list[Part] = []
    for who, text in messages:
        name = "assistant" if who == "think" else who
        parts += [t(f"<|{name}|>\n"), (text, True), t("</s>\n")]
    return parts if messages[-1][0] != "user" else [*parts, t("<|assistant|>\n")]


def alpaca(messages: Sequence[Message]) -> list[Part]:
    """The template of the distilled students of DSKD: headings of plain text, EOS at the end."""
    heads = {"system": "", "user": "### Instruction:\n", "assistant": "### Response:\n", "think": "### Thought:\n"}
    parts: list[Part] = []
    for number, (who, text) in enumerate(messages):
        end = "<|endoftext|>" if number == len(messages) - 1 and who == "assistant" else "\n\n"
        parts += [t(heads[who]), (text, True), t(end)]
    return parts if messages[-1][0] != "user" else [*parts, t("### Response:\n")]


SMOLLM2 = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
TEMPLATES = {
    "smollm2": lambda messages: chatml(messages, default=SMOLLM2),
    "qwen1.5": chatml,
    "qwen1.5+qwen3": chatml,
    "gemma3": gemma,
    "gpt2+llama3": llama_3,
    "mistral": inst,
    "mistral+v3": inst,
    "tinyllama": zephyr,
    "gpt2": alpaca,
}


@dataclass(frozen=True)
class Side:
    """A dialogue as a model reads it, placed in the words of the dialogue; template tokens cover nothing of it."""

    words: TokenizedText
    is_template: tuple[bool, ...]
    """Of tokens with any part of the template."""


def with_added(backend: backends.Tokenizer, added: Sequence[str]) -> backends.Tokenizer:
    """A copy with special tokens."""
    copy = backends.Tokenizer.from_str(backend.to_str())
    copy.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in added])
    return copy


def side_of(parts: Sequence[Part], backend: backends.Tokenizer, text: str) -> Side:
    """Tokens of a prompt, each with the bytes of ``text`` that it spells. The dialogues are plain ASCII."""
    place, reached, places = 0, 0, dict[int, int]()
    for part, is_text in parts:
        for offset in range(len(part)) if is_text else ():
            places[place + offset] = reached + offset
        reached += len(part) + 1 if is_text else 0  # a line break of the text stands between two turns
        place += len(part)
    encoding = backend.encode("".join(part for part, _ in parts), add_special_tokens=False)
    prompt = "".join(part for part, _ in parts)
    tokens: list[Token] = []
    is_template: list[bool] = []
    for piece, (start, end) in zip(encoding.tokens, encoding.offsets, strict=True):
        inside = [places[at] for at in range(start, end) if at in places]
        here = tokens[-1].end if tokens else 0
        tokens.append(Token(piece, min(inside), max(inside) + 1) if inside else Token(piece, here, here))
        is_template.append(not inside or any(at not in places and prompt[at] != " " for at in range(start, end)))
    return Side(TokenizedText(text, tuple(tokens)), tuple(is_template))


def role_rows(tokenizers: Mapping[str, Tokenizer]) -> tuple[list[GoldRow], dict[str, tuple[Side, Side]]]:
    """The rows, and both sides of each by its id, which tell what belongs to a template."""
    plain = {name: one.backend for name, one in tokenizers.items()}
    added = {name: with_added(plain[base], tokens) for name, (base, tokens) in ADDED.items()}
    rows: list[GoldRow] = []
    sides: dict[str, tuple[Side, Side]] = {}
    for title, messages in DIALOGUES.items():
        text = "\n".join(said for _, said in messages)
        for pair in PAIRS:
            names = pair.split("~")
            needs_tools = any(who in ("call", "tool") for who, _ in messages)
            if needs_tools and any(name in WITHOUT_TOOLS for name in names):
                continue
            student, teacher = (side_of(TEMPLATES[name](messages), (plain | added)[name], text) for name in names)
            links = rule_links(student.words, teacher.words)
            id_ = f"r-{len(rows) + 1:03}"
            unplaced = [TokenizedText.unplaced(text, side.words.pieces) for side in (student, teacher)]
            rows.append(GoldRow(id_, pair, unplaced[0], unplaced[1], links.sure, links.possible, (ROLES,), f"{title}."))
            sides[id_] = student, teacher
    return rows, sides
