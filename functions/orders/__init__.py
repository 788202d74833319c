"""The example backend in account A: each consumer account has its own orders."""
