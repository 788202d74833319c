from __future__ import annotations

from cross_account_access.project import PROJECT
from cross_account_lab import workarounds


def test_every_parameter_that_the_lab_passes_is_documented() -> None:
    text = (PROJECT / "docs/lab.md").read_text()
    table = text.partition("## What differs from AWS")[2].partition("\n## ")[0]
    given = workarounds.provider_parameters(["222222222222"]) | workarounds.consumer_parameters("url")

    assert [name for name in given if f"`{name}" not in table] == []
