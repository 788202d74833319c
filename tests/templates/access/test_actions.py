"""The names of actions are those of the Service Authorization Reference that cfn-lint carries."""

import json
import re
from pathlib import Path

import cfnlint

from cross_account_access.engine import actions

REFERENCE = json.loads((Path(cfnlint.__file__).parent / "data/AdditionalSpecs/Policies.json").read_text())


def test_every_action_of_a_service_is_there_and_no_other() -> None:
    services = {action.split(":")[0] for action in actions.names()}
    assert {"iam", "sts", "s3", "sqs", "lambda", "execute-api", "dynamodb"} <= services
    for service in services:
        assert {name.lower().split(":")[1] for name in actions.names(service)} == set(REFERENCE[service]["Actions"])


def test_actions_are_spelled_as_aws_spells_them() -> None:
    names = list(actions.names())
    assert len(set(names)) == len(names)
    assert {"sqs:SendMessage", "iam:PassRole", "lambda:InvokeFunctionUrl", "apigateway:GET", "s3:ListBucket"} <= {
        *names
    }
    assert [name for name in names if not re.fullmatch(r"[a-z0-9-]+:[A-Z]\w+", name)] == [
        "vpc-lattice:associateviaawsservice-eventsandstates"
    ]


def test_the_best_known_action_that_fits_comes_first() -> None:
    queue = "arn:aws:sqs:eu-west-1:111111111111:q"
    assert actions.find(lambda _: True, service="sqs") == "sqs:SendMessage"
    assert actions.find(lambda name: name.startswith("sqs:D"), resource=queue) == "sqs:DeleteMessage"
    assert actions.find(lambda name: name.startswith("iam:Pass"), resource=queue) is None
    assert actions.find(lambda _: False) is None


def test_an_action_exists_in_any_case_or_is_of_a_service_that_is_not_in_the_table() -> None:
    assert actions.exists("SQS:sendmessage")
    assert not actions.exists("sqs:Send")
    assert actions.exists("a4b:Anything")
