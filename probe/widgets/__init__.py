"""What runs in a notebook: the explorer and the annotator."""
