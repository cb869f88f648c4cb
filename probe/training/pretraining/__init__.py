"""Projectors trained alone, with student and teacher frozen."""
