"""Where things lie in the repository, for tests at any depth."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
GOLD = ROOT / "alignments" / "gold.tsv"
