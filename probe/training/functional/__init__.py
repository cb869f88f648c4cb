"""Does the attention matter for what the student is taught? The losses of a checkpoint under other attentions."""
