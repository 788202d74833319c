"""The functions under test, and a request that the backend serves."""

from cross_account_access.model import load
from cross_account_lab.functions import read_functions

CALLER = next(function for function in read_functions().values() if function.reads_queue)
BACKEND = next(function for function in read_functions().values() if function.routes)
GET = next(
    route for route in load().routes if route.function == BACKEND.name and route.promised and route.method == "GET"
)
"""A route of the backend that consumers may call."""
