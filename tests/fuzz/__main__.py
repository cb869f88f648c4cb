"""``python -m fuzz``: thousands of damaged inputs; prints how they ended, and which damage was accepted."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fuzz.driver import fuzz


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("fuzz")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=10_000)
    arguments = parser.parse_args(argv)
    ends = fuzz(arguments.seed, arguments.cases)
    families = sorted({one["family"] for one in ends})
    codes = Counter((one["family"], _end(one)) for one in ends)
    kinds = ["0", "1", "2", "failed"]
    print(f"{'family':12}" + "".join(f"{kind:>8}" for kind in kinds))
    for family in families:
        print(f"{family:12}" + "".join(f"{codes[family, kind]:>8}" for kind in kinds))
    accepted = Counter(f"{one['family']}: {one['name']}" for one in ends if _end(one) == "0" and not one["same"])
    print("\naccepted although damaged:")
    for name, count in sorted(accepted.items()):
        print(f"{count:6} {name}")
    bad = [one for one in ends if _end(one) == "failed"]
    for one in bad:
        print(f"\ncase {one['number']} {one['family']} {one['name']} left {one['left']}\n{one['trouble']}")
    print(f"\n{len(ends)} cases, {len(bad)} failed, the slowest took {max(one['seconds'] for one in ends)} s")
    return 1 if bad else 0


def _end(one: dict[str, Any]) -> str:
    return "failed" if one["trouble"] or one["left"] else str(one["code"])


if __name__ == "__main__":
    sys.exit(main())
