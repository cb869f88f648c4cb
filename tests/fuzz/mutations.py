"""Seeded damage: to bytes, to text, and to values of a JSON document, which stays one."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

Mutation = Callable[[bytes, Random], bytes]

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 3.5, 1e308, -1e-9, 10**18, 10**30, float("nan"), float("inf")),
    *("", "x", "a\tb", "é", "\ud800", "\0", "../..", "/dev/full", "⟨eos⟩", "0-0", "☃" * 50),
    *([], {}, [[]], [1, "a", None], {"a": 1}, [[[[1]]]]),
)
RAW = (b"9" * 6000, b"[" * 60000, b"\xff", b"\xef\xbb\xbf", b'"\\ud800"', b"NaN", b"-Infinity", b"1e999", b"\0", b"{}")


def cut(raw: bytes, random: Random) -> bytes:
    """Only the beginning."""
    return raw[: random.randrange(len(raw) + 1)]


def flip(raw: bytes, random: Random) -> bytes:
    """Some bytes become others."""
    changed = bytearray(raw)
    for _ in range(random.choice((1, 1, 3, 20)) if raw else 0):
        # Headers are short and come first, where damage matters most.
        changed[random.randrange(min(len(raw), random.choice((64, 4096, len(raw)))))] = random.randrange(256)
    return bytes(changed)


def insert(raw: bytes, random: Random) -> bytes:
    """Something that no reader likes, anywhere."""
    place = random.randrange(len(raw) + 1)
    return raw[:place] + random.choice(RAW) + raw[place:]


def lose(raw: bytes, random: Random) -> bytes:
    """A part is missing."""
    begin = random.randrange(len(raw) + 1)
    return raw[:begin] + raw[begin + random.choice((1, 1, 10, 1000)) :]


def repeat(raw: bytes, random: Random) -> bytes:
    """A line comes twice, or two are exchanged."""
    lines = raw.split(b"\n")
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    if random.random() < 0.5:
        lines.insert(other, lines[one])
    else:
        lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def replaced(raw: bytes, random: Random) -> bytes:
    """Another file altogether."""
    return random.choice((b"", *RAW, b"version https://git-lfs.github.com/spec/v1\n", b"\r\n" * 3, b'"text"', b"[]"))


def cell(raw: bytes, random: Random) -> bytes:
    """One cell of a line is something else."""
    lines = raw.split(b"\n")
    at = random.randrange(len(lines))
    separator = random.choice((b"\t", b" ", b"-", b"="))
    cells = lines[at].split(separator)
    value = random.choice(VALUES)
    text = value if isinstance(value, str) else json.dumps(value)
    cells[random.randrange(len(cells))] = text.encode(errors="replace")
    lines[at] = separator.join(cells)
    return b"\n".join(lines)


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            found += [(value, key), *_places(value[key])]
    return found


def value(raw: bytes, random: Random) -> bytes:
    """One value of a JSON document, or of one line of it, is another, missing, or of an integer too long to read."""
    lines = raw.split(b"\n") if b"\n{" in raw else [raw]
    at = random.randrange(len(lines))
    try:
        document = json.loads(lines[at])
    except ValueError:
        return flip(raw, random)
    places = _places(document)
    if not places:
        return replaced(raw, random)
    inside, key = random.choice(places[:60] if random.random() < 0.7 else places)
    if random.random() < 0.15 and isinstance(inside, dict):
        del inside[key]
    else:
        inside[key] = random.choice(VALUES)
    lines[at] = json.dumps(document).encode()
    return b"\n".join(lines)


TEXT: tuple[Mutation, ...] = (cell, cell, cell, repeat, cut, flip, insert, lose, replaced)
JSON: tuple[Mutation, ...] = (value, value, value, value, value, insert, cut, flip, replaced)
BINARY: tuple[Mutation, ...] = (flip, flip, flip, cut, insert, lose, replaced)
