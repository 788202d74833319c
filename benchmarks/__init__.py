"""Measures speed and size against alternatives and the physical minimum."""
