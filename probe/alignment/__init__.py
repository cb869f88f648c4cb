"""Gold links and a checkpoint, scored by method: the report of ``probe-align``."""
