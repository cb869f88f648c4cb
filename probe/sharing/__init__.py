"""Checkpoints as others find them on the hub: the card beside them."""
