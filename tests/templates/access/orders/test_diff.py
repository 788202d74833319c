"""Changes of the example's routes and grants."""

from pathlib import Path

import pytest

from tests.templates.access.test_diff import edit, lines, repository

__all__ = ["repository"]

GRANT = r"^(.*\$\{StageName\})/GET/orders/\*$"


@pytest.mark.parametrize(
    ("replacement", "sign"), [(r"\g<0>\n\1/DELETE/orders/*", "+"), ("", "-")], ids=["a route granted", "taken away"]
)
def test_changes_of_a_grant(repository: Path, capsys: pytest.CaptureFixture[str], replacement: str, sign: str) -> None:
    edit(repository, GRANT, replacement)
    (line,) = lines(capsys)
    assert line.startswith(f"{sign} sessions of ExecutorRole: execute-api:Invoke on ")


def test_a_new_route_that_an_old_grant_covers_is_access_gained(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    event = 'Items: {Type: Api, Properties: {RestApiId: !Ref OrdersApi, Method: GET, Path: "/orders/{order_id}/items"}}'
    edit(repository, "^        WhoAmI:", rf"        {event}\n\g<0>")
    found = lines(capsys)
    assert all(line.startswith("+ sessions of ExecutorRole: execute-api:Invoke on ") for line in found)
    assert any(line.endswith("/GET/orders/order_id/items") for line in found)


def test_an_api_without_signatures_is_open_to_anyone(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(repository, "DefaultAuthorizer: AWS_IAM", "DefaultAuthorizer: NONE")
    found = lines(capsys)
    assert "+ anyone on the internet: GET /whoami of OrdersApi without a signature" in found
