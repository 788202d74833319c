"""Alternatives, each written as in its own documentation."""
