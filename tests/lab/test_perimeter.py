"""The provider's perimeter, as far as the emulator has one."""

from __future__ import annotations

from lab.accounts import ACCOUNT_A, ACCOUNT_B, REGION
from lab.lab import Lab

# No DNS name leads to the emulator, so the domain is the address that it has.
DOMAIN = {"DomainName": "127.0.0.1", "CertificateArn": "arn:aws:acm:eu-west-1:111111111111:certificate/0a1b2c3d"}


def test_consumers_move_to_a_domain_without_an_outage(own_lab: Lab) -> None:
    session = own_lab.assume_executor(own_lab.user_key, "222222222222-my-user")
    default = own_lab.api_url

    own_lab.deploy(ACCOUNT_A, **DOMAIN, BasePath="shop")
    assert own_lab.outputs[ACCOUNT_A]["ApiRegion"] == REGION
    assert own_lab.api_url == f"{own_lab.endpoint}/shop" != default
    # Both addresses, signed for each; the caller still uses the old one.
    assert own_lab.request("GET", "/echo", session).json()["account_id"] == "222222222222"
    assert own_lab.invoke({"path": "/echo"})["status"] == 200
    # Refused as before, and the base path adds no route.
    assert own_lab.request("GET", "/echo", None).status_code == 403
    assert own_lab.request("GET", "/shop/echo", session).status_code == 403

    own_lab.deploy(ACCOUNT_B, ApiRegion=own_lab.outputs[ACCOUNT_A]["ApiRegion"])
    assert own_lab.invoke({"path": "/echo"})["status"] == 200

    # Back to what other tests expect.
    own_lab.deploy(ACCOUNT_A, **dict.fromkeys(DOMAIN, ""), BasePath="")
    assert own_lab.api_url == default
    own_lab.deploy(ACCOUNT_B, ApiRegion="")
    assert own_lab.invoke({"path": "/echo"})["status"] == 200


def test_a_private_api_answers_nobody_outside_its_endpoints(own_lab: Lab) -> None:
    own_lab.deploy(ACCOUNT_A, VpcEndpointIds="vpce-0a1b2c3d")
    session = own_lab.assume_executor(own_lab.user_key, "222222222222-my-user")
    refused = own_lab.request("GET", "/echo", session)
    assert (refused.status_code, "explicit deny" in refused.text) == (403, True)

    # Back to what other tests expect, with a caller in a VPC, for which the emulator has no network.
    own_lab.deploy(ACCOUNT_A, VpcEndpointIds="")
    own_lab.deploy(ACCOUNT_B, SubnetIds="subnet-0a1b2c3d", SecurityGroupIds="sg-0a1b2c3d")
    assert own_lab.invoke({"path": "/echo"})["status"] == 200
    own_lab.deploy(ACCOUNT_B, SubnetIds="", SecurityGroupIds="")
    assert own_lab.invoke({"path": "/echo"})["status"] == 200
