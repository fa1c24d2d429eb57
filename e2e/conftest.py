"""Fixtures of the end-to-end cases: the cluster with the operator, one shared platform, and the strangers outside.

The cluster is that of `e2e.cluster`; what is up already is used as it is, so that a second run starts in seconds.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator, Iterator

import pytest
from kubernetes.client import ApiException

from e2e import turns
from e2e.clients import Account, Directory
from e2e.cluster import packages
from e2e.external_clients import PROGRAMS, ExternalClients
from e2e.kube import Kube, eventually
from e2e.operator import Operator
from e2e.platform import Platform
from e2e.processes import container_processes, containers
from e2e.public_mailboxes import PublicMailboxFixture, opened
from e2e.world import World
from e2e.world.peer import Peer

PEOPLE = ("alice", "bob")
LAST_LINES, LAST_SECONDS = 15, 60


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All cases below this folder need the cluster."""
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.e2e)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let a case that stops the operator run while no other one does, in whatever process."""
    with turns.turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show beside a failure what the daemons of the platform said last."""
    report = yield
    platform = getattr(item, "funcargs", {}).get("platform")
    if call.excinfo and report.failed and isinstance(platform, Platform):
        report.sections.append(("last log lines of the platform", last_lines(platform)))
    return report


def last_lines(platform: Platform) -> str:
    """The last lines of each container of a platform."""
    told = []
    for pod in platform.kube.pods(platform.namespace, instance=platform.name):
        name = pod["metadata"]["name"]
        for container in containers(pod):
            try:
                text = platform.kube.logs(platform.namespace, name, container["name"], since_seconds=LAST_SECONDS)
            except ApiException as error:
                text = str(error.reason)
            told += [f"== {name} {container['name']}", *text.splitlines()[-LAST_LINES:]]
    return "\n".join(told)


@pytest.fixture(scope="session")
def kube() -> Kube:
    """The cluster named by KUBECONFIG; `make test-e2e` sets it."""
    path = os.environ.get("KUBECONFIG")
    if not path:
        pytest.fail("KUBECONFIG is not set: start the cases with `make test-e2e`")
    return Kube(path)


@pytest.fixture(scope="session")
def operator(kube: Kube) -> Operator:
    return Operator(kube)


@pytest.fixture(scope="session")
def directory() -> Iterator[Directory]:
    """Name look-ups that lead to the platforms' client Services."""
    directory = Directory()
    with directory.installed():
        yield directory


@pytest.fixture(scope="session")
def passwords() -> dict[str, str]:
    return {user: secrets.token_urlsafe(12) for user in PEOPLE}


@pytest.fixture(scope="session")
def platform(kube: Kube, operator: Operator, directory: Directory, passwords: dict[str, str]) -> Iterator[Platform]:
    """One platform for all cases: two domains, alice and bob."""
    assert operator.pods(), "the operator runs"
    shared = Platform(kube, directory, namespace=f"e2e-{secrets.token_hex(3)}")
    shared.create(passwords)
    yield shared
    if not os.environ.get("POSTBOAT_KEEP"):
        kube.delete("v1", "Namespace", None, shared.namespace)


@pytest.fixture(scope="session")
def alice(platform: Platform, passwords: dict[str, str]) -> Account:
    return platform.account("alice", passwords["alice"])


@pytest.fixture(scope="session")
def bob(platform: Platform, passwords: dict[str, str]) -> Account:
    return platform.account("bob", passwords["bob"])


@pytest.fixture(scope="module")
def office(platform: Platform) -> Iterator[PublicMailboxFixture]:
    """A public mailbox with a reader, writers, a full owner, and a stranger to it."""
    with opened(platform) as office:
        yield office


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """The outside: clients, mail servers and DNS zones beyond the cluster's networks."""
    with World(number=turns.worker()) as world:
        yield world


@pytest.fixture(scope="session")
def elsewhere(world: World) -> Peer:
    """A mail server of the world that takes everything for its domain."""
    peer = world.start_peer("mx.elsewhere.test")
    world.receives_for(f"elsewhere-{turns.worker()}.test", peer)
    return peer


@pytest.fixture(scope="session")
def stranger(kube: Kube, operator: Operator, world: World) -> Iterator[ExternalClients]:
    """Somebody outside, and somebody in a pod of a namespace that has nothing to do with mail."""
    packages.ensure(PROGRAMS)
    namespace = f"stranger-{secrets.token_hex(3)}"
    container = {"name": "shell", "image": operator.image(), "command": ["sleep", "86400"]}
    kube.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "stranger", "namespace": namespace},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
        },
    )

    def first_process() -> int | None:
        pod = kube.get("v1", "Pod", namespace, "stranger")
        running = container_processes(pod) if pod else {}
        return next((process.pid for process in running.get("shell", [])), None)

    pid = eventually(first_process, "the stranger's pod", timeout=60)
    yield ExternalClients(outside=f"/run/netns/{world.outside.namespace}", pod=f"/proc/{pid}/ns/net")
    kube.delete("v1", "Namespace", None, namespace)


@pytest.fixture
def kube_namespace(kube: Kube) -> Iterator[str]:
    """An empty namespace of a case's own."""
    name = f"case-{secrets.token_hex(3)}"
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    kube.delete("v1", "Namespace", None, name)


@pytest.fixture(scope="session")
def away_seconds() -> float:
    """How long the operator stays away; ten minutes for the full proof, less in everyday runs."""
    return float(os.environ.get("POSTBOAT_AWAY_SECONDS", "15"))


@pytest.fixture(scope="session")
def rest_seconds() -> float:
    """How long nothing may be written; five minutes for the full proof, less in everyday runs."""
    return float(os.environ.get("POSTBOAT_REST_SECONDS", "20"))
