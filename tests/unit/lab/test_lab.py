from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samcli.cli.types import CfnParameterOverridesType

from cross_account_lab.sam import override


@pytest.mark.parametrize(
    "value", ["", "at(2030-01-01T00:00:00)", "rate(1 hour)", '{"sku": "a b", "n": [1, "x=y"]}', "a,b"]
)
def test_sam_reads_a_parameter_as_it_was_given(value: str) -> None:
    assert CfnParameterOverridesType().convert((override("Name", value),), None, None) == {"Name": value}


@given(
    st.dictionaries(st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,20}", fullmatch=True), st.text("abc019 ,=:*-/(){}[]\"'$@+"))
)
def test_sam_reads_all_parameters_as_they_were_given(parameters: dict[str, str]) -> None:
    overrides = tuple(override(name, value) for name, value in parameters.items())

    assert CfnParameterOverridesType().convert(overrides, None, None) == parameters
