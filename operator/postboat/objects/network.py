"""Services, network policies and disruption budgets of a platform.

The policies allow the connections that docs/architecture.md shows, and no others.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Final

from postboat.agent import ports
from postboat.agent.ports import Port
from postboat.model.platform import READING, Platform
from postboat.objects.components import COMPONENTS, Component, replicas
from postboat.objects.meta import Body, metadata, selector

_INNER_SERVICES: Final = {"filter": (ports.MILTER, ports.CONTROLLER), "valkey": (ports.VALKEY,)}
_LINK: Final = ("169.254.0.0/16", "fe80::/10")
"""Addresses of the link, where clouds serve the credentials of a node."""


def services(platform: Platform) -> Iterable[Body]:
    """Yield all Services: a headless one for each component, two for clients, and those between the pods."""
    for component in COMPONENTS:
        inside = [port for container in component.containers for port in container.ports]
        headless = {"clusterIP": "None", "publishNotReadyAddresses": True}
        yield _service(platform, component.governing, component.name, _offered(inside), headless)
    for name, reached in _INNER_SERVICES.items():
        yield _service(platform, name, name, _offered(reached), {})
    yield _client_service(platform, "smtp", ports.CLIENTS["smtp"])
    yield _client_service(platform, "imap", _imap_ports(platform))


def policies(platform: Platform) -> Iterable[Body]:
    """Yield one NetworkPolicy for each component, for ingress and egress."""
    dns = {"ports": [_port(53, "TCP"), _port(53, "UDP")]}

    def pods(component: str, *reached: Port, to: bool = True) -> Body:
        return {("to" if to else "from"): [_pods(platform, component)], "ports": _inside(reached)}

    yield _policy(
        platform,
        "smtp",
        (ports.EDGE_AGENT, ports.AGENT),
        [{"ports": _inside(ports.CLIENTS["smtp"])}, pods("store", ports.INNER, to=False)],
        [
            dns,
            pods("filter", ports.MILTER),
            pods("store", ports.LMTP, ports.LMTP_ONE_DOMAIN, ports.QUOTA),
            *_outside(platform),
        ],
    )
    yield _policy(
        platform,
        "imap",
        (ports.AGENT,),
        [{"ports": _inside(_imap_ports(platform))}],
        [dns, pods("store", *ports.LOGINS)],
    )
    # People of other stores visit the first one for the public mailboxes.
    several = platform.stores.replicas > 1
    yield _policy(
        platform,
        "store",
        (ports.AGENT, ports.INVENTORY),
        [
            pods("smtp", ports.LMTP, ports.LMTP_ONE_DOMAIN, ports.QUOTA, to=False),
            pods("imap", *ports.LOGINS, to=False),
            *([pods("store", ports.IMAP, to=False)] if several else []),
        ],
        [dns, pods("smtp", ports.INNER), *([pods("store", ports.IMAP)] if several else [])],
    )
    yield _policy(
        platform,
        "filter",
        (ports.AGENT, ports.CONTROLLER),
        [pods("smtp", ports.MILTER, to=False)],
        [dns, pods("valkey", ports.VALKEY)],
    )
    yield _policy(platform, "valkey", (ports.AGENT,), [pods("filter", ports.VALKEY, to=False)], [])


def _outside(platform: Platform) -> Iterator[Body]:
    """Yield the egress rules to other mail servers: port 25 anywhere, and the ports of relays.

    A relay with an IP address is reached at that address only. One with a host name may be anywhere but in the cluster:
    otherwise a relay with the port 6443 would open the API server.
    """
    literal = {(address, port) for host, port in platform.next_hops if (address := _literal(host))}
    named = {ports.SMTP.public} | {port for host, port in platform.next_hops if not _literal(host)}
    yield {"to": _world(platform), "ports": [_port(port) for port in sorted(named)]}
    for address, port in sorted(literal):
        yield {"to": [{"ipBlock": {"cidr": address}}], "ports": [_port(port)]}


def _world(platform: Platform) -> list[Body]:
    """Return all addresses but those of the cluster and link-local ones (RFC 3927; RFC 4291, 2.5.6)."""
    closed = [ip_network(network) for network in (*platform.environment.cluster_networks, *_LINK)]
    blocks: list[Body] = []
    for cidr, version in (("0.0.0.0/0", 4), ("::/0", 6)):
        excepted = sorted({network for network in closed if network.version == version}, key=str)
        blocks.append({"ipBlock": {"cidr": cidr, "except": [str(network) for network in excepted]}})
    return blocks


def _literal(host: str) -> str:
    """Return an IP address as a network of one address; "" for a host name."""
    try:
        return str(ip_network(ip_address(host)))
    except ValueError:
        return ""


def budgets(platform: Platform) -> Iterable[Body]:
    """Return a PodDisruptionBudget for each component with more than one pod; at most one pod may be missing."""
    return (_budget(platform, component) for component in COMPONENTS if replicas(platform, component) > 1)


def _imap_ports(platform: Platform) -> tuple[Port, ...]:
    offered = (protocol for protocol in READING if protocol in platform.imap.protocols)
    return tuple(port for protocol in offered for port in ports.CLIENTS[protocol])


def _offered(inside: Iterable[Port]) -> tuple[Port, ...]:
    """Return ports for use inside of the cluster, under the numbers that the daemons listen on."""
    return tuple(port._replace(public=port.number) for port in inside)


def _inside(reached: Iterable[Port]) -> list[Body]:
    return [_port(port.number) for port in reached]


def _service(
    platform: Platform, suffix: str, component: str, offered: Iterable[Port], more: Mapping[str, object]
) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(platform, suffix, component),
        "spec": {
            "type": "ClusterIP",
            "selector": selector(platform, component),
            "ports": [
                {"name": port.name, "port": port.public, "targetPort": port.number, "protocol": "TCP"}
                for port in offered
            ],
            "sessionAffinity": "None",
            **more,
        },
    }


def _client_service(platform: Platform, name: str, offered: Iterable[Port]) -> Body:
    wanted = platform.client_service
    spec: Body = {"type": wanted.type}
    if wanted.type != "ClusterIP":
        spec["externalTrafficPolicy"] = wanted.external_traffic_policy
    if wanted.load_balancer_class is not None:
        spec["loadBalancerClass"] = wanted.load_balancer_class
    if wanted.source_ranges:
        spec["loadBalancerSourceRanges"] = list(wanted.source_ranges)
    if wanted.family_policy is not None:
        spec["ipFamilyPolicy"] = wanted.family_policy
    if wanted.families:
        spec["ipFamilies"] = list(wanted.families)
    service = _service(platform, name, name, offered, spec)
    if wanted.annotations:
        service["metadata"]["annotations"] = dict(wanted.annotations)
    return service


def _policy(
    platform: Platform, component: str, operator_ports: Iterable[Port], ingress: list[Body], egress: list[Body]
) -> Body:
    operator = {
        "from": [
            {
                "namespaceSelector": {
                    "matchLabels": {"kubernetes.io/metadata.name": platform.environment.operator_namespace}
                },
                "podSelector": {"matchLabels": {"app.kubernetes.io/component": "operator"}},
            }
        ],
        "ports": [_port(number) for number in sorted(port.number for port in operator_ports)],
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(platform, component, component),
        "spec": {
            "podSelector": {"matchLabels": selector(platform, component)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [*ingress, operator],
            "egress": egress,
        },
    }


def _pods(platform: Platform, component: str) -> Body:
    return {"podSelector": {"matchLabels": selector(platform, component)}}


def _port(port: int, protocol: str = "TCP") -> Body:
    return {"port": port, "protocol": protocol}


def _budget(platform: Platform, component: Component) -> Body:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(platform, component.name, component.name),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector(platform, component.name)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
