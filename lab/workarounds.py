"""Everything that the lab does otherwise than AWS, each with its reason.

The templates stay right for AWS. Where the emulator differs, the lab passes a parameter, or does through a service's
own API what the emulator's CloudFormation leaves out.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lab.accounts import ACCOUNT_IDS

if TYPE_CHECKING:
    import boto3


def provider_parameters(consumers: Iterable[str]) -> dict[str, str]:
    """Return what account A's stack is given because of the emulator.

    Args:
        consumers: The consumer accounts, as named in `ACCOUNT_IDS`.

    Returns:
        Template parameters.
    """
    return {
        **_parameters_of_both(),
        # The default is a policy variable, which never matches here. A literal pattern cannot tell two consumers apart.
        "ConsumerSessionName": ",".join(f"{ACCOUNT_IDS[consumer]}-*" for consumer in consumers),
        # No session here has authenticated with MFA.
        "RequireMfaForUsers": "false",
    }


def consumer_parameters(url: str) -> dict[str, str]:
    """Return what account B's stack is given because of the emulator.

    Args:
        url: The API's `api_url`.

    Returns:
        Template parameters.
    """
    return {**_parameters_of_both(), "ApiUrl": url}


def api_url(endpoint: str, outputs: Mapping[str, str]) -> str:
    """Return where the API answers here: no DNS name leads to the emulator, so the API's id stands in the path.

    Args:
        endpoint: URL of the emulator.
        outputs: Outputs of account A's stack.

    Returns:
        The base URL, stage included.
    """
    return f"{endpoint}/_aws/execute-api/{outputs['ApiId']}{urlsplit(outputs['ApiUrl']).path}"


def complete_consumer(session: boto3.Session, outputs: Mapping[str, str]) -> None:
    """Set what the emulator's CloudFormation leaves out of account B's stack.

    Args:
        session: Session of the account.
        outputs: Outputs of its stack.
    """
    function = session.client("lambda")
    name = outputs["CallerFunctionName"]
    # It drops the function's dead-letter queue.
    function.update_function_configuration(
        FunctionName=name, DeadLetterConfig={"TargetArn": outputs["FailedCallQueueArn"]}
    )
    # It hands the parameter on as a string, at which its poller stops for every queue.
    [mapping] = function.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    function.update_event_source_mapping(
        UUID=mapping["UUID"],
        ScalingConfig={"MaximumConcurrency": int(mapping["ScalingConfig"]["MaximumConcurrency"])},
    )


def host_architecture() -> str:
    """Return this machine's architecture as Lambda names it: `arm64` or `x86_64`."""
    return "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"


def _parameters_of_both() -> dict[str, str]:
    return {
        # The functions run on this machine.
        "Architecture": host_architecture(),
        # It knows no AWS::Logs::QueryDefinition.
        "SaveLogQueries": "false",
    }
