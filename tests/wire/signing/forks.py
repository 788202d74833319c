"""Makes calls, forks, and makes calls from all processes at once: `python -m tests.wire.signing.forks API_URL role`."""

import os
import sys
from typing import Any

from cross_account_api import CallError, Client, Timing
from cross_account_lab.judge.judge import ROLE_ARN
from cross_account_lab.judge.sts import EXTERNAL_ID

CHILDREN, CALLS = 3, 40
PATIENT = Timing(read=60, sts_connect=60, sts_read=60)
"""A slow machine must not look like a lost connection."""


def wrong_responses(client: Client, process: int) -> int:
    """Return how many calls did not get their own response."""
    wrong = 0
    for number in range(CALLS):
        path = f"/{process}/{number}"
        try:
            wrong += client.get(path).body != {"path": f"/v1{path}"}
        except CallError:
            wrong += 1
    return wrong


def main(api_url: str, source: str) -> None:
    role: dict[str, Any] = {"role_arn": ROLE_ARN, "external_id": EXTERNAL_ID, "session_name": "222222222222-x"}
    client = Client(api_url, timing=PATIENT, **(role if source == "role" else {"profile": "orders"}))
    wrong = wrong_responses(client, 0)
    children = []
    for process in range(1, CHILDREN + 1):
        if (child := os.fork()) == 0:
            if source == "role":
                client._credentials.refresh(client._credentials.get_frozen_credentials(), expired=True)
            os._exit(wrong_responses(client, process))
        children.append(child)
    wrong += wrong_responses(client, 0)
    wrong += sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    sys.exit(wrong)


if __name__ == "__main__":
    main(*sys.argv[1:])
