"""The attention alone: a query projector learns from two embedding tables, without a language model."""
