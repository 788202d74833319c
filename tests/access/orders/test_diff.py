"""Changes of the example's routes and grants."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.access.test_diff import changes_of, edit, lines, repository

__all__ = ["repository"]

GRANT = r"^(.*\$\{StageName\})/GET/orders/\*$"


@pytest.mark.parametrize(
    ("replacement", "expected"),
    [
        (
            r"\g<0>\n\1/DELETE/orders/*",
            [
                "+ sessions of ExecutorRole: DELETE /orders/{order_id}",
                "+ sessions of ExecutorRole: calls for which there is no route yet",
            ],
        ),
        (
            "",
            [
                "- sessions of ExecutorRole: GET /orders/{order_id}",
                "- sessions of ExecutorRole: calls for which there is no route yet",
            ],
        ),
    ],
    ids=["a route granted", "a route taken away"],
)
def test_changes_of_a_grant(repository: Path, tmp_path: Path, replacement: str, expected: list[str]) -> None:
    edit(repository, GRANT, replacement)
    assert lines(changes_of(repository, tmp_path)) == expected


def test_a_new_route_that_an_old_grant_covers_is_access_gained(repository: Path, tmp_path: Path) -> None:
    event = 'Items: {Type: Api, Properties: {RestApiId: !Ref OrdersApi, Method: GET, Path: "/orders/{order_id}/items"}}'
    edit(repository, "^        WhoAmI:", rf"        {event}\n\g<0>")
    assert lines(changes_of(repository, tmp_path)) == [
        "+ sessions of ExecutorRole: GET /orders/{order_id}/items",
        "+ sessions of the roles in MoreExecutorRoleIds: GET /orders/{order_id}/items",
    ]
