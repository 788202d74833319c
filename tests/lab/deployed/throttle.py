"""Send 200 requests a second to each path and count the statuses: `throttle.py URL signed|unsigned SECONDS PATH…`."""

import collections
import concurrent.futures
import sys
import time

import requests

from cross_account_api import Client

url, kind, seconds, *paths = sys.argv[1:]
auth = Client(url, profile="orders").auth if kind == "signed" else None
session = requests.Session()
session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=100))
start, sent = time.monotonic(), []
with concurrent.futures.ThreadPoolExecutor(100) as pool:
    for number in range(200 * int(seconds)):
        time.sleep(max(0, start + number / 200 - time.monotonic()))
        sent += [(path, pool.submit(session.get, url + path, auth=auth)) for path in paths]
for (path, status), count in collections.Counter((path, one.result().status_code) for path, one in sent).items():
    print(kind, path, status, count)  # noqa: T201 - what it is for
