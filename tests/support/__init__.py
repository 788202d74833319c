"""Shared by several test suites."""
