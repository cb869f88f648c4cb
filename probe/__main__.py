"""``python -m probe``: the commands, with a line each."""

import sys

COMMANDS = {
    "probe-align": "score an attention on annotated token pairs: does it align?",
    "probe-heatmap": "draw the attention of one sentence",
    "probe-aligners": "rank the ways in which tools align tokens: which one to use?",
    "probe-pairs": "check, draft, convert, count and compare gold files",
    "probe-keyquery": "measure how much queries differ from keys",
    "probe-figures": "draw the figures of a paper from saved reports",
    "probe-models": "list checkpoints, fetch models, explain a directory",
    "probe-train": "train a student, or projectors, as a recipe says",
    "probe-eval": "score students: bits per byte, ROUGE-L",
    "probe-reproduce": "train, evaluate, probe and compare every method of a recipe",
}


def main() -> int:
    """Print them."""
    print("The commands; each has --help.\n")
    print("\n".join(f"  {name:<17}{what}" for name, what in COMMANDS.items()))
    print("\nStart with: probe-align")
    return 0


if __name__ == "__main__":
    sys.exit(main())
