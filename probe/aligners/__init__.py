"""How a map becomes hard links."""
