"""Does the attention matter for what the student is taught? Losses of a checkpoint under other attentions."""
