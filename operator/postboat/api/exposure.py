"""How a mail platform is seen from outside: certificates, Services, client addresses, DNS, metrics.

All of it is part of a MailServer.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from postboat.api.base import Model, Rule
from postboat.api.listing import AS_SET, AS_WHOLE, keyed_by
from postboat.api.pods import Annotations, LabelKey, Labels
from postboat.api.values import (
    Cidr,
    Duration,
    Flag,
    HostName,
    Network,
    ObjectName,
    SecretKeyRef,
)


class Certificate(Model):
    """A certificate for further host names."""

    secret_name: ObjectName
    """Secret of type kubernetes.io/tls; the host names are those in the certificate."""


class Tls(Model):
    """Certificates of the server."""

    secret_name: ObjectName | None = None
    """Secret of type kubernetes.io/tls, as cert-manager makes it; a self-signed certificate when absent."""
    additional: Annotated[tuple[Certificate, ...], Field(max_length=32), keyed_by("secret_name")] = ()
    """Certificates for further host names, chosen by the name that a client asks for (SNI)."""


class ServiceType(StrEnum):
    """How clients reach the platform."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


class TrafficPolicy(StrEnum):
    """Whether traffic may take a second hop inside the cluster."""

    CLUSTER = "Cluster"
    LOCAL = "Local"


class FamilyPolicy(StrEnum):
    """Of how many IP families the addresses of a Service are."""

    SINGLE_STACK = "SingleStack"
    PREFER_DUAL_STACK = "PreferDualStack"
    REQUIRE_DUAL_STACK = "RequireDualStack"


class IpFamily(StrEnum):
    """An IP family."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


class Service(Model):
    """How the Services for clients are reached."""

    type: ServiceType | None = None
    """ClusterIP, NodePort or LoadBalancer; ClusterIP when absent."""
    annotations: Annotations | None = None
    """Annotations of both Services, as a cloud or MetalLB reads them."""
    external_traffic_policy: TrafficPolicy | None = None
    """Local (when absent) keeps the client's address, Cluster hides it; with type NodePort or LoadBalancer."""
    ip_family_policy: FamilyPolicy | None = None
    """SingleStack, PreferDualStack or RequireDualStack; as the cluster decides when absent."""
    ip_families: Annotated[tuple[IpFamily, ...], Field(max_length=2), AS_WHOLE] = ()
    """IPv4, IPv6 or both, the first of them first; as the cluster decides when absent. The first one never changes."""
    load_balancer_class: LabelKey | None = None
    """Which load balancer takes the Services; with type LoadBalancer."""
    load_balancer_source_ranges: Annotated[tuple[Cidr, ...], Field(max_length=64), AS_SET] = ()
    """Networks that the load balancer lets in; with type LoadBalancer."""

    constraints = (
        Rule(
            cel=(
                "!has(self.ipFamilies) || size(self.ipFamilies) < 2 "
                "|| !has(self.ipFamilyPolicy) || self.ipFamilyPolicy != 'SingleStack'"
            ),
            message="write ipFamilyPolicy PreferDualStack or RequireDualStack with two ipFamilies",
            holds=lambda service: (
                len(service.ip_families) < len(IpFamily) or service.ip_family_policy is not FamilyPolicy.SINGLE_STACK
            ),
            field="ipFamilies",
        ),
        Rule(
            cel="!has(self.externalTrafficPolicy) || (has(self.type) && self.type in ['NodePort', 'LoadBalancer'])",
            message="externalTrafficPolicy needs type NodePort or LoadBalancer",
            holds=lambda service: (
                service.external_traffic_policy is None
                or service.type in {ServiceType.NODE_PORT, ServiceType.LOAD_BALANCER}
            ),
            field="externalTrafficPolicy",
        ),
        Rule(
            cel="!has(self.loadBalancerClass) || (has(self.type) && self.type == 'LoadBalancer')",
            message="loadBalancerClass needs type LoadBalancer",
            holds=lambda service: service.load_balancer_class is None or service.type is ServiceType.LOAD_BALANCER,
            field="loadBalancerClass",
        ),
        Rule(
            cel=(
                "!has(self.loadBalancerSourceRanges) || size(self.loadBalancerSourceRanges) == 0 "
                "|| (has(self.type) && self.type == 'LoadBalancer')"
            ),
            message="loadBalancerSourceRanges needs type LoadBalancer",
            holds=lambda service: not service.load_balancer_source_ranges or service.type is ServiceType.LOAD_BALANCER,
            field="loadBalancerSourceRanges",
        ),
    )


class ProxyProtocol(Model):
    """Load balancers that tell the client's address by PROXY protocol."""

    trusted_networks: Annotated[tuple[Network, ...], Field(min_length=1, max_length=64), AS_SET]
    """Addresses of the load balancers; only they are believed."""


class Ingress(Model):
    """An Ingress to the web interface."""

    host: HostName
    """Host name of the Ingress."""
    class_name: ObjectName | None = None
    """IngressClass; the cluster's default when absent."""
    tls_secret_name: ObjectName | None = None
    """Secret with the certificate of the Ingress."""
    annotations: Annotations | None = None
    """Annotations of the Ingress."""


class FilterWebInterface(Model):
    """The web interface of Rspamd."""

    password_secret: SecretKeyRef
    """Secret with the password of the web interface."""
    ingress: Ingress | None = None
    """An Ingress to it; reachable by port-forward only when absent."""


class DnsMethod(StrEnum):
    """How DNS records get into the DNS."""

    STATUS = "Status"
    DNS_ENDPOINT = "DNSEndpoint"


class DnsPublication(Model):
    """How the records of the domains are published."""

    method: DnsMethod | None = None
    """Status shows records as text, DNSEndpoint makes objects for external-dns too; Status when absent."""
    ttl: Duration | None = None
    """Time to live of the records, like 1h."""


class Monitoring(Model):
    """Objects for a Prometheus operator."""

    enabled: Flag | None = None
    """Make a PodMonitor and a PrometheusRule where those kinds exist; false when absent."""
    interval: Duration | None = None
    """Time between two scrapes, like 30s."""
    labels: Labels | None = None
    """Labels by which Prometheus chooses those objects."""
