"""Every training objective of the paper and its baselines; docs/methods.md leads from an equation to its lines."""
