"""Where Postfix may connect to: other mail servers, and nothing of the cluster that is not a mail server."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from postboat.model.resolve import resolve
from postboat.settings import from_environment
from tests.golden import world

CLUSTER = ("10.96.0.0/12", "10.244.0.0/16", "192.0.2.10/32", "fd00:10::/48")
INSIDE = ("10.96.0.1", "10.244.3.4", "192.0.2.10", "fd00:10::1", "169.254.169.254", "fe80::1")
OUTSIDE = ("198.51.100.25", "2001:db8::25", "10.0.0.25")


def rules(*relays: tuple[str, int], networks: tuple[str, ...] = CLUSTER) -> list[Mapping[str, Any]]:
    raws = world.documents(world.HERE / "cases/quickstart/input.yaml")
    domains = [relayed(number, host, port) for number, (host, port) in enumerate(relays)]
    snapshot = world.snapshot([*raws, *domains])
    snapshot = replace(snapshot, environment=replace(world.ENVIRONMENT, cluster_networks=networks))
    (policy,) = (
        item.body for item in world.planned(resolve(snapshot)).objects if item.ref == ("NetworkPolicy", "mail-smtp")
    )
    found: list[Mapping[str, Any]] = policy["spec"]["egress"]
    return found


def relayed(number: int, host: str, port: int) -> Any:  # noqa: ANN401
    return {
        "apiVersion": "postboat.dev/v1alpha1",
        "kind": "MailDomain",
        "metadata": {"name": f"relayed-{number}.test"},
        "spec": {"delivery": "Relay", "relay": {"host": host, "port": port}, "dkim": {"enabled": False}},
    }


def reached(found: Iterable[Mapping[str, Any]], address: str, port: int) -> bool:
    """Read the rules as a network plugin does, but those for pods and DNS."""
    return any(
        port in {one["port"] for one in rule["ports"]} and _holds(peer["ipBlock"], address)
        for rule in found
        for peer in rule.get("to", ())
        if "ipBlock" in peer
    )


def _holds(block: Mapping[str, Any], address: str) -> bool:
    held = ip_address(address)
    excepted = any(held in ip_network(network) for network in block.get("except", ()))
    return held in ip_network(block["cidr"]) and not excepted


@pytest.mark.parametrize("port", [25, 6443, 2525])
def test_a_relay_by_name_opens_its_port_to_everything_but_the_cluster(port: int) -> None:
    found = rules(("mx.example.net", port))
    assert all(reached(found, address, port) for address in OUTSIDE)
    assert not [address for address in INSIDE if reached(found, address, port)]


@pytest.mark.parametrize(("host", "other"), [("198.51.100.25", "198.51.100.26"), ("2001:db8::25", "2001:db8::26")])
def test_a_relay_by_address_opens_its_port_to_that_address_only(host: str, other: str) -> None:
    found = rules((host, 6443))
    assert reached(found, host, 6443)
    assert not [address for address in (other, *INSIDE) if reached(found, address, 6443)]
    assert reached(found, other, 25)


def test_a_relay_inside_the_cluster_is_reached_by_its_address() -> None:
    found = rules(("10.244.3.4", 2525))
    assert reached(found, "10.244.3.4", 2525)
    assert not reached(found, "10.244.3.4", 25)


def test_no_relay_opens_no_port_but_that_of_mail() -> None:
    found = rules()
    assert not any(reached(found, address, port) for address in OUTSIDE for port in (443, 6443, 587))


def test_networks_come_from_the_environment() -> None:
    told = from_environment({"POSTBOAT_CLUSTER_NETWORKS": "10.0.0.0/8, fd00::/8"})
    assert told.cluster_networks == ("10.0.0.0/8", "fd00::/8")
    with pytest.raises(ValueError, match=r"POSTBOAT_CLUSTER_NETWORKS.*write networks in CIDR notation"):
        from_environment({"POSTBOAT_CLUSTER_NETWORKS": "10.0.0.1/8"})
