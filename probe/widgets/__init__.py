"""Two widgets for notebooks: the explorer and the annotator."""
