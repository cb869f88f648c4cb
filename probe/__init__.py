"""See what cross-model attention aligns in cross-tokenizer distillation.

Importing this package is cheap: it loads numpy at most, never torch.
"""

__version__ = "0.1.0"
