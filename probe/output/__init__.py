"""Files written whole or not at all, documents, provenance, terminal tables."""
