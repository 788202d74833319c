"""The caller as deployed: it assumes the role and makes calls."""

from uuid import uuid4

from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B
from cross_account_lab.lab import STACK_NAMES, Lab


def test_the_api_knows_the_caller_by_its_session_name(own_lab: Lab) -> None:
    # As a destination of a failed call has it.
    answer = own_lab.invoke({"version": "1.0", "requestContext": {}, "requestPayload": {"path": "/echo"}})

    assert (answer["status"], answer["attempts"]) == (200, 1)
    assert answer["body"]["account_id"] == "222222222222"
    assert answer["body"]["session_name"] == f"222222222222-eu-west-1-{STACK_NAMES[ACCOUNT_B]}"


def test_nothing_secret_is_logged(own_lab: Lab) -> None:
    secret = f"secret-{uuid4()}"
    own_lab.invoke(
        {
            "method": "POST",
            "path": "/echo",
            "query": {"q": secret},
            "headers": {"X-Note": secret},
            "body": {"name": secret},
            "idempotency_key": str(uuid4()),
        }
    )

    lines = [
        event["message"]
        for logs in (own_lab.session(account).client("logs") for account in (ACCOUNT_A, ACCOUNT_B))
        for group in logs.describe_log_groups()["logGroups"]
        for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
    ]

    assert any('"path":"/echo"' in line for line in lines)
    for forbidden in (secret, "AWS4-HMAC-SHA256", own_lab.external_id, "ASIA", "AKIA"):
        assert not [line for line in lines if forbidden in line]
