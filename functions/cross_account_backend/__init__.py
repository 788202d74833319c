"""What every backend of the API needs; uses only the standard library.

>>> from cross_account_backend import UnknownCallerError, correlation_id, error_body, identify, request_path
>>> def handler(event, context):
...     try:
...         consumer = identify(event, {"AROAEXECUTOREXAMPLE1"})
...     except UnknownCallerError as error:
...         return {"statusCode": 403, "body": json.dumps(error_body(event, "forbidden", str(error)))}
...     return {"statusCode": 200, "body": json.dumps({"account_id": consumer.account_id})}
"""

from cross_account_backend.identity import Consumer, UnknownCallerError, identify
from cross_account_backend.request import correlation_id, error_body, request_path

__all__ = ["Consumer", "UnknownCallerError", "correlation_id", "error_body", "identify", "request_path"]
