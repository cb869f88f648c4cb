"""The teacher: loaded, its states and responses cached."""
