"""Audit: how well the class can be told from what should not matter."""
