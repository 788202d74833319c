"""The names of actions are those of the Service Authorization Reference that cfn-lint carries."""

import json
import re

from cross_account_access.engine import actions
from tests.templates.stacks import CFN_LINT

REFERENCE = json.loads((CFN_LINT / "AdditionalSpecs/Policies.json").read_text())


def test_every_action_of_a_service_is_there_as_aws_spells_it_and_no_other() -> None:
    names = list(actions.names())
    services = {action.split(":")[0] for action in names}
    assert {"iam", "sts", "s3", "sqs", "lambda", "execute-api", "dynamodb"} <= services
    for service in services:
        assert {name.lower().split(":")[1] for name in actions.names(service)} == set(REFERENCE[service]["Actions"])
    assert len(set(names)) == len(names)
    assert {"sqs:SendMessage", "iam:PassRole", "lambda:InvokeFunctionUrl", "apigateway:GET", "s3:ListBucket"} <= {
        *names
    }
    assert [name for name in names if not re.fullmatch(r"[a-z0-9-]+:[A-Z]\w+", name)] == [
        "vpc-lattice:associateviaawsservice-eventsandstates"
    ]


def test_the_best_known_action_comes_first() -> None:
    assert next(actions.names()) == "sts:AssumeRole"
    assert next(actions.names("sqs")) == "sqs:SendMessage"
