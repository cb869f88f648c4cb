"""A student or teacher as probing needs it: where it lies, its tokenizer, rows of its embedding table."""
