"""The whole `probe-align` command against importing torch: wall time, ratio pair by pair, peak memory, modules loaded.

python benchmarks/startup.py [--runs 7]
"""

import argparse
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from probe.models.sources import cache_dir

GOLD = Path(__file__).parent.parent / "alignments" / "gold.tsv"
UNWANTED = ("torch", "pandas", "matplotlib")
AIMS = {"demo": "1.0", "smollm2-gemma3-projectors": "1.6"}
FEW = ("--methods", "diagonal,lexical,bigram")
"""Without the projectors that take time: three untrained ones, and two halves of the trained one."""
ALIGN = "import sys; from probe.cli.align import main; code = main(sys.argv[1:]); "
LIST = f"print(*[m for m in {UNWANTED} if m in sys.modules], file=sys.stderr); sys.exit(code)"
RUNNER = """
import resource, subprocess, sys, time
began = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
sys.exit(code)
"""
"""A process begins with the peak of the one that starts it, so a small one stands between."""


def measure(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak megabytes of one process."""
    runner = [sys.executable, "-I", "-S", "-c", RUNNER, *command]
    done = subprocess.run(runner, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command} exited with {done.returncode}")
    seconds, megabytes = map(float, done.stdout.split())
    return seconds, megabytes


def main() -> None:
    """Interleave both commands, after one run of each that is not counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    torch = [sys.executable, "-c", "import torch"]
    for name, *more in (("demo",), ("demo", *FEW), ("smollm2-gemma3-projectors",), ("smollm2-gemma3-projectors", *FEW)):
        options = ["--pairs", str(GOLD), "--checkpoint", name, *more]
        align = [str(Path(sys.executable).with_name("probe-align")), *options]
        shutil.rmtree(cache_dir() / "encodings", ignore_errors=True)
        first, first_peak = measure(align)
        loaded = subprocess.run(
            [sys.executable, "-c", ALIGN + LIST, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=True,
        ).stderr.decode()
        pairs = [(measure(align), measure(torch)) for _ in range(runs + 1)][1:]
        ratios = sorted(ours[0] / theirs[0] for ours, theirs in pairs)
        ours, theirs = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
        of = f"probe-align, {' '.join((name, *more))}"
        ratio = f"{statistics.median(ratios):.2f} × import torch ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"{of}: {ratio}", f"; aim {AIMS[name]} ×" if not more else "", sep="")
        print(f"  {ours:.2f} s against {theirs:.2f} s, {runs} pairs; unwanted modules: {loaded.strip() or 'none'}")
        if more:
            continue
        print(f"{of}, first run over these texts: {first / theirs:.2f} × import torch; aim 2.5 ×")
        print(f"{of}, peak memory: {max(pair[0][1] for pair in pairs):.0f} MB; aim 250 MB")
        print(f"  of the first run {first_peak:.0f} MB, of importing torch {pairs[0][1][1]:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
