"""Pictures of values: they draw maps and reports, and never load a model."""
