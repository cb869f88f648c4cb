"""Trained projectors: ours and DSKD's, found and opened."""
