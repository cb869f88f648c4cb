"""Peak memory of the cross-model step's vocabulary losses, against vocabulary and number of positions.

Each size runs in a process of its own. What is counted is the peak beyond the inputs (states, heads) and the gradients
that a step must leave behind; a matrix of positions × vocabulary in float32 stands beside it.

    python benchmarks/memory.py
"""

import argparse
import resource
import subprocess
import sys

import torch

from probe.training.criteria.divergences import forward_kl
from probe.training.criteria.logits import Workspace
from probe.training.criteria.teacher_space import teacher_space_losses
from probe.training.criteria.vocabulary import Guide, vocabulary_losses

WIDTH, VOCABULARIES, POSITIONS = 64, (32_768, 131_072, 262_144), (256, 1024, 4096)


def peak() -> int:
    """Of this process, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def extra(vocabulary: int, positions: int) -> int:
    """Bytes beyond inputs and gradients that both spaces' losses take."""
    torch.manual_seed(0)
    torch.set_num_threads(2)
    head, states, guide_states = (torch.randn(rows, WIDTH) for rows in (vocabulary, positions, positions))
    labels = torch.randint(0, vocabulary, (positions,))
    for tensor in (head, states, guide_states):
        tensor.requires_grad_()
    small = Workspace(1 << 20)
    step(head[:100].detach().requires_grad_(), states[:9], guide_states[:9], labels[:9] % 100, small)
    before = peak()
    step(head, states, guide_states, labels, Workspace())
    gradients = sum(t.grad.nbytes for t in (head, states, guide_states) if t.grad is not None)
    # A gradient exists twice for a moment: as it was made, and as it is handed to the leaf.
    return peak() - before - 2 * gradients


def step(head: torch.Tensor, states: torch.Tensor, guide: torch.Tensor, labels: torch.Tensor, work: Workspace) -> None:
    """The student's space, then the teacher's with the same sizes."""
    drawn = Guide(guide, head.detach(), forward_kl, weight=0.5, temperature=2.0, labels=labels, label_weight=0.5)
    own = vocabulary_losses(states, head, labels, work, label_weight=0.5, guide=drawn)
    other = teacher_space_losses(guide, states.detach(), head.detach(), labels, 2.0, work)
    (own.loss + other.divergence).backward()


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", nargs=2, type=int, help=argparse.SUPPRESS)
    child = parser.parse_args().child
    if child:
        print(extra(*child))
        return
    print("vocabulary  positions  extra MB  one matrix of logits, MB")
    for vocabulary in VOCABULARIES:
        for positions in POSITIONS:
            command = [sys.executable, __file__, "--child", str(vocabulary), str(positions)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            matrix = vocabulary * positions * 4 / 1e6
            print(f"{vocabulary:10,} {positions:10,} {int(done.stdout) / 1e6:9.0f} {matrix:10.0f}", flush=True)


if __name__ == "__main__":
    main()
