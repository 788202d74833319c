"""A project of one's own, and its upgrades."""
