"""Corpora as training reads them: files, rows, and both sides cut by their tokenizers."""
