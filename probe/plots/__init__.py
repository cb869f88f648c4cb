"""Draw maps and reports. Nothing here loads a model."""
