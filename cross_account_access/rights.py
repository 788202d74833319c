"""What a function, schedule or policy may do with what it refers to.

`rights.json` has it by type of resource: actions, suffixes of its ARN, and whether the reference would be pointless
without them. On an index of a table only Query and Scan mean anything, but SAM's policy templates name it for all; of
network interfaces, it is what Lambda does with a function's role for any resource.

See https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html and
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
"""

from dataclasses import dataclass

from cross_account_access.engine import data

type Rights = list[tuple[list[str], list[str], bool]]


@dataclass(frozen=True)
class Governed:
    """A type of resource with a policy of its own."""

    actions: str  # all on the resource
    with_tls: list[str]  # actions that need TLS
    by_services: list[str]  # actions that services may perform on behalf of its account
    below: str = ""  # what may follow its ARN


_LISTS = data.read(__file__, "rights.json")
RIGHTS: dict[str, Rights] = _LISTS["uses"]
READ_RIGHTS: dict[str, Rights] = _LISTS["reads"]
INTERFACES: list[str] = _LISTS["interfaces"]
GOVERNED = {kind: Governed(**known) for kind, known in _LISTS["governed"].items()}
# Services for which AWS documents no `aws:SourceAccount` when they assume a role.
SOURCELESS: list[str] = _LISTS["without source account"]
# Services that assume the role named by a resource, and those that publish to the topics named by it.
ASSUMED_BY: dict[str, str] = _LISTS["assumed by"]
PUBLISHERS: dict[str, str] = _LISTS["publishers"]
