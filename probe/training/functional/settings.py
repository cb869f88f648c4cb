"""How t2s is refitted."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How t2s is refitted, the same for every attention: Adam for a fixed time, its rate falling to zero."""

    epochs: int = 3
    most_texts: int = 500
    """Drawn of those given, if there are more."""
    batch_texts: int = 8
    learning_rate: float = 1e-3
    sampled: int = 4096
    """Tokens of the vocabulary that are drawn for each step beside the texts' own."""
    seed: int = 0
