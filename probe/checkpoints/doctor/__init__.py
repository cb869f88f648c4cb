"""The findings of ``probe-models doctor``: what a checkpoint directory has, what it lacks, and what to do.

Probing stops at the first problem, because it must not guess. The doctor checks everything: each part of the directory
gets a verdict, and a part that cannot be read becomes a finding, not an error.
"""
