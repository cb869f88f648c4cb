"""A picture of a report: top-1 of methods, phenomena and kinds of tokens, with their intervals."""
