"""Annotated token links: read, check, draft by rule, count, and compare annotators."""
