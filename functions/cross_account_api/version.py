"""The version of both distributions; functions that are built from source have no metadata to read it from."""

__version__ = "3.0.0"
