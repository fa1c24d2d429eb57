"""What the network of the cluster promises: policies are enforced, clients keep their address, zones change at once.

A server pod answers with the address it sees, and places outside of the cluster ask it.
"""

from __future__ import annotations

import http.client
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from e2e.cluster.conftest import Checkout, pod
from e2e.cluster.steps import wait_for
from e2e.world import Place, World

pytestmark = pytest.mark.e2e
SERVER = r"""
mkdir -p /tmp/www/cgi-bin
printf '#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n$REMOTE_ADDR"\n' > /tmp/www/cgi-bin/who
chmod +x /tmp/www/cgi-bin/who
httpd -p 8081 -h /tmp/www
exec httpd -f -p 8080 -h /tmp/www
"""


@pytest.fixture(scope="module")
def server(checkout: Checkout) -> Checkout:
    """A server on two ports behind a Service, and two pods that are its clients."""
    ports = [{"name": "web", "containerPort": 8080}, {"name": "other", "containerPort": 8081}]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server"},
        "spec": {
            "type": "LoadBalancer",
            "externalTrafficPolicy": "Local",
            "selector": {"app": "server"},
            "ports": [
                {"name": "web", "port": 80, "targetPort": 8080},
                {"name": "other", "port": 81, "targetPort": 8081},
            ],
        },
    }
    pods = [pod("server", "sh", "-c", SERVER, container={"ports": ports})]
    pods += [pod(name, "sleep", "9999") for name in ("friend", "stranger")]
    checkout.apply(service, *pods)
    checkout.ready("server", "friend", "stranger")
    return checkout


def addresses(checkout: Checkout) -> dict[str, str]:
    """Return the addresses at which the server is reached."""
    service = checkout.get("service", "server")
    wait_for("load balancer", lambda: bool(checkout.get("service", "server")["status"]["loadBalancer"]), 20)
    balanced = checkout.get("service", "server")["status"]["loadBalancer"]["ingress"][0]["ip"]
    return {"service": service["spec"]["clusterIP"], "load balancer": balanced}


def seen_from(place: Place, address: str, port: int = 80) -> str:
    """Return the client address that the server sees, or nothing when it cannot be reached."""
    with place.entered():
        connection = http.client.HTTPConnection(address, port, timeout=3)
        try:
            connection.request("GET", "/cgi-bin/who")
            return connection.getresponse().read().decode().strip("[]").removeprefix("::ffff:")
        except OSError:
            return ""
        finally:
            connection.close()


def reaches(checkout: Checkout, client: str, port: int, host: str = "server") -> bool:
    return checkout.run_in(client, f"nc -w 2 {host} {port} < /dev/null")[0] == 0


@contextmanager
def enforced(checkout: Checkout, **spec: Any) -> Iterator[None]:  # noqa: ANN401 -- fields of a NetworkPolicySpec
    """Enforce a NetworkPolicy for the length of the block."""
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "case"}, "spec": spec}
    checkout.apply(policy)
    try:
        yield
    finally:
        checkout.kubectl("delete", "networkpolicy/case")


def test_a_pod_sees_the_true_address_of_a_client_outside(server: Checkout, world: World) -> None:
    for kind, address in addresses(server).items():
        assert seen_from(world.outside, address) == world.outside.address, kind
        assert seen_from(world.trusted, address) == world.trusted.address, kind


def test_ingress_lets_in_whom_a_policy_names(server: Checkout, world: World) -> None:
    assert all(reaches(server, client, port) for client in ("friend", "stranger") for port in (80, 81))
    allowed = [
        {"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}], "ports": [{"port": "web"}]},
        {"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", world.outside.network]}}]},
    ]
    chosen = {"matchLabels": {"app": "server"}}
    with enforced(server, podSelector=chosen, policyTypes=["Ingress"], ingress=allowed):
        wait_for("the policy", lambda: not reaches(server, "stranger", 80), 10)
        assert reaches(server, "friend", 80)
        assert not reaches(server, "friend", 81)
        address = addresses(server)["service"]
        assert seen_from(world.trusted, address, 81) == world.trusted.address
        assert not seen_from(world.outside, address)
    wait_for("the end of the policy", lambda: reaches(server, "stranger", 80), 10)


def test_an_empty_policy_denies_all_and_probes_still_pass(server: Checkout) -> None:
    probe = {"readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}}
    with enforced(server, podSelector={}, policyTypes=["Ingress", "Egress"]):
        wait_for("the policy", lambda: not reaches(server, "friend", 80), 10)
        server.apply(pod("probed", "sh", "-c", SERVER, container=probe))
        server.ready("probed")
    server.kubectl("delete", "pod/probed")
    wait_for("the end of the policy", lambda: reaches(server, "friend", 80), 10)


def test_egress_lets_out_to_whom_a_policy_names(server: Checkout) -> None:
    dns_peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    names = {"to": [dns_peer], "ports": [{"port": 53, "protocol": "UDP"}]}
    to_server = {"podSelector": {"matchLabels": {"app": "server"}}}
    range_of_ports = {"to": [to_server], "ports": [{"port": 8079, "endPort": 8080}]}
    chosen = {"matchLabels": {"app": "stranger"}}
    with enforced(server, podSelector=chosen, policyTypes=["Egress"], egress=[names, range_of_ports]):
        wait_for("the policy", lambda: not reaches(server, "stranger", 81), 10)
        assert reaches(server, "stranger", 80)
        assert not reaches(server, "stranger", 443, "kubernetes")
        assert reaches(server, "friend", 81)
    wait_for("the end of the policy", lambda: reaches(server, "stranger", 81), 10)


def test_a_zone_is_served_at_once_and_other_names_do_not_exist(server: Checkout, world: World) -> None:
    world.zones.publish("example.net", {"@": ["MX 10 mx"], "mx": ["A 198.51.100.99"]})
    assert world.zones.resolve("example.net", "MX") == ["10 mx.example.net."]
    world.zones.publish("example.net", {"@": ["MX 20 mx"], "mx": ["A 198.51.100.98"]})
    assert world.zones.resolve("mx.example.net", "A") == ["198.51.100.98"]
    assert "198.51.100.98" in server.run_in("friend", "nslookup mx.example.net")[1]
    assert "NXDOMAIN" in server.run_in("friend", "nslookup mx.example.com")[1]
    world.zones.withdraw("example.net")
    assert world.zones.resolve("mx.example.net", "A") == []
    world.zones.name_address(world.outside.address, "client.example.org")
    assert world.zones.resolve("10.100.51.198.in-addr.arpa", "PTR") == ["client.example.org."]


def test_a_signed_zone_is_validated_and_no_other_one(server: Checkout, world: World) -> None:
    signed = world.signed.origin
    world.signed.publish({"mx": ["A 198.51.100.99"], "wrong": ["A 198.51.100.98"]}, bogus=["wrong"])
    world.zones.publish("example.net", {"mx": ["A 198.51.100.97"]})
    assert world.signed.validated(f"mx.{signed}", "A")
    assert not world.signed.validated("mx.example.net", "A")
    assert world.zones.resolve(f"wrong.{signed}", "A") == []
    assert "198.51.100.99" in server.run_in("friend", f"nslookup mx.{signed}")[1]


def test_a_pod_reaches_a_peer_outside_by_the_address_of_the_node(server: Checkout, world: World) -> None:
    peer = world.start_peer("mx.example.org")
    world.receives_for("example.org", peer)
    dialogue = "EHLO pod\\r\\nMAIL FROM:<a@example.test>\\r\\nRCPT TO:<b@example.org>\\r\\nDATA\\r\\n"
    lines = f"(printf '{dialogue}'; sleep 1; printf 'Subject: x\\r\\n\\r\\nhello\\r\\n.\\r\\n'; sleep 1)"
    server.run_in("friend", f"{lines} | nc -w 5 mx.example.org 25")
    (received,) = peer.wait()
    assert received.client == world.outside.gateway
    assert received.recipients == ("b@example.org",)
    assert received.message.get_content().strip() == "hello"


def test_a_peer_refuses_drops_and_asks_for_a_login(world: World) -> None:
    peer = world.start_peer("relay.example.org", ports=(587,), tls=True, require_tls=True, passwords={"me": "secret"})
    peer.refuse("451 4.7.1 later", at="rcpt", times=1)
    with world.trusted.entered():
        session = smtplib.SMTP(peer.address, 587, timeout=5)
    session.starttls()
    session.login("me", "secret")
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        session.sendmail("a@example.test", "b@example.org", "Subject: x\r\n\r\nhello")
    session.sendmail("a@example.test", "b@example.org", "Subject: x\r\n\r\nhello")
    (received,) = peer.messages()
    assert (received.client, received.login) == (world.trusted.address, "me")
    assert received.tls.startswith("TLS")
    peer.drop(at="message")
    with pytest.raises(smtplib.SMTPServerDisconnected):
        session.sendmail("a@example.test", "b@example.org", "Subject: x\r\n\r\nhello")
    assert len(peer.messages()) == 2
