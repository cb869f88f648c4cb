"""Names of the files of DSKD's layout and of ours, and how the layout writes JSON."""

import json
from collections.abc import Mapping
from typing import Any

STUDENT, NOTES, TOKENIZER = "student", "NOTES.txt", "tokenizer_config.json"
TERMS = ("NOTICE", "LICENSE")
"""Files of a checkpoint that go where its projectors go: the teacher's terms may bind them."""


def as_json(value: Mapping[str, Any]) -> str:
    """A JSON file as the layout has it: indented, in plain Unicode, with a newline at its end."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
