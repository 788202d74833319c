"""Account A's backend of the API: each consumer account keeps its own orders."""
