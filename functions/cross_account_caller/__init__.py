"""Account B's caller: makes signed calls to the API in account A."""
