"""The trainer: any method of `criteria` on any pair of models, over transformers' Trainer."""
