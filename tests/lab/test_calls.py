"""The logs of both accounts, after a call of the deployed caller."""

from uuid import uuid4

from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B
from cross_account_lab.lab import Lab


def test_nothing_secret_is_logged(lab: Lab) -> None:
    secret = f"secret-{uuid4()}"
    call = {"method": "POST", "path": "/orders", "query": {"q": secret}, "headers": {"X-Note": secret}}
    lab.invoke(call | {"body": {"sku": secret}, "idempotency_key": str(uuid4())})

    lines = [
        event["message"]
        for logs in (lab.session(account).client("logs") for account in (ACCOUNT_A, ACCOUNT_B))
        for group in logs.describe_log_groups()["logGroups"]
        for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
    ]

    assert any('"path":"/orders"' in line for line in lines)
    for forbidden in (secret, "AWS4-HMAC-SHA256", lab.external_id, "ASIA", "AKIA"):
        assert not [line for line in lines if forbidden in line]
