"""The manifest of a checkpoint, ``probe.json``: read, and its types and numbers checked before anything is computed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from probe.errors import CheckpointError, Problem
from probe.output.reading import Wanted, read_json

FORMAT = 2
MANIFEST = "probe.json"
_RESTORE = f"Restore {MANIFEST}, or save the checkpoint again."
LEAST_SCALE, MOST_SCALE = 1e-3, 1e4
"""No embedding module is known that scales its rows by less or more; the square root of a width is 256 at the most."""


def is_ours(directory: Path) -> bool:
    """Whether a checkpoint in our format lies there."""
    return (directory / MANIFEST).is_file()


def read_manifest(path: Path) -> dict[str, Any]:
    """The contents of ``probe.json``.

    Raises:
        CheckpointError: it is missing, malformed, or of another format version.
    """
    file = path / MANIFEST
    if not is_ours(path):
        raise CheckpointError(
            Problem(
                str(path),
                f"a checkpoint directory with {MANIFEST}",
                "none",
                "Name a checkpoint directory or a bundled name.",
            )
        )
    manifest = read_json(file, Wanted("JSON", "Restore the file.", CheckpointError))
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if version != FORMAT:
        raise CheckpointError(
            Problem(
                str(file), f"format {FORMAT}", f"format {version}", "Use the version of this package that wrote it."
            )
        )
    return manifest


_TYPES: Mapping[str, tuple[Any, str]] = {
    **dict.fromkeys(("name", "method", "criterion", "prompt"), (str, "a text")),
    **dict.fromkeys(("student", "teacher", "projectors", "scales", "recipe"), (dict, "an object")),
    "steps": ((int, type(None)), "a whole number or null"),
}
_RECORD_TYPES: Mapping[str, tuple[Any, str]] = {
    **dict.fromkeys(("name", "vocabulary_sha256"), (str, "a text")),
    "revision": ((str, type(None)), "a text or null"),
    "sources": (list, "a list"),
}
_SCALE_TYPES: Mapping[str, tuple[Any, str]] = {
    **dict.fromkeys(("key", "hidden", "target"), ((int, float, type(None)), "a number or null")),
    "key_is_estimate": (bool, "true or false"),
}


def check_types(manifest: Mapping[str, Any], where: Path) -> None:
    """Refuse values of types that nothing here writes; keys that are missing are found later."""
    problems = _wrong_types(manifest, _TYPES, str(where))
    if not problems:
        problems = _wrong_types(manifest.get("scales", {}), _SCALE_TYPES, f"{where}: scales")
        for role in ("student", "teacher"):
            record = manifest.get(role, {})
            problems += _wrong_types(record, _RECORD_TYPES, f"{where}: {role}")
            for source in record.get("sources", []) if not problems else []:
                texts = list(source.values()) if isinstance(source, dict) else [None]
                if not all(isinstance(text, str) for text in texts):
                    problems.append(Problem(f"{where}: {role}", "sources of texts", repr(source)[:80], _RESTORE))
        structures = manifest.get("projectors", {}).values()
        if not all(isinstance(structure, str) for structure in structures):
            problems.append(Problem(f"{where}: projectors", "structures as texts", repr([*structures])[:80], _RESTORE))
    if problems:
        raise CheckpointError(*problems)


def _wrong_types(values: Mapping[str, Any], types: Mapping[str, tuple[Any, str]], where: str) -> list[Problem]:
    return [
        Problem(f"{where}: {key}", expected, repr(values[key])[:80], _RESTORE)
        for key, (kind, expected) in types.items()
        if key in values and not (isinstance(values[key], kind) and (kind is bool or not isinstance(values[key], bool)))
    ]


def check_record(record: Mapping[str, Any]) -> None:
    """Refuse what no model can have, before anything is computed from it."""
    for name in ("rows", "width"):
        if not _is_number(record[name], int) or record[name] < 1:
            raise _not_restored(record, name, "a whole number above 0")
    for name in ("eos_id", "prompt_end_id"):
        if not _is_number(record[name], int) or not 0 <= record[name] < record["rows"]:
            raise _not_restored(record, name, f"a token id from 0 to {record['rows'] - 1}")
    scale = record["embedding_scale"]
    if not _is_number(scale, (int, float)) or not LEAST_SCALE <= scale <= MOST_SCALE:
        raise _not_restored(record, "embedding_scale", f"a factor from {LEAST_SCALE:g} to {MOST_SCALE:g}")


def _not_restored(record: Mapping[str, Any], name: str, expected: str) -> CheckpointError:
    return CheckpointError(Problem(f"{name} of {record['name']}", expected, repr(record[name])[:80], _RESTORE))


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)  # which is a whole number to Python
