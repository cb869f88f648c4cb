"""Alignment watched where others train: in a Trainer of transformers, or in a loop of one's own."""
