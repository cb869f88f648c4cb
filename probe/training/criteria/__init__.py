"""Every training objective of the paper and its baselines; README.md leads from an equation to its lines."""
