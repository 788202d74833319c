"""A judge of signatures: an API and an STS on loopback, for callers in any language."""
