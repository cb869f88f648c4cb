"""What a checkpoint directory is, what it lacks, and what to do about it: the findings behind ``probe-models doctor``.

Probing stops at the first thing that is wrong, for it must not guess. This goes on to the end: each part of the
directory gets a verdict of its own, and whatever cannot be read becomes a finding, never an error.
"""
