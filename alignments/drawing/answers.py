"""Put the answers of a reader onto the blank rows.

python -m alignments.drawing.answers blank.tsv heads.tsv roles.tsv overlap.tsv --out alignments/judged.tsv
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from probe.errors import ProbeError
from probe.gold.judged import read_answers, with_answers
from probe.gold.pairs import read_pairs, write_pairs


def main(argv: Sequence[str] | None = None) -> int:
    """Read, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("blank", type=Path)
    parser.add_argument("answers", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(argv)
    try:
        blank = read_pairs(arguments.blank)
        rows = with_answers(blank, read_answers(arguments.answers))
    except ProbeError as error:
        print(error, file=sys.stderr)
        return 2
    write_pairs(arguments.out, rows, blank.comments)
    print(f"{arguments.out}: {len(rows)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
