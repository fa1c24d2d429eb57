"""Security: no relay for anybody, no credentials in mail pods, the fewest privileges, and networks that hold.

The attacker stands outside with an address of its own, in a foreign pod, and in a mail pod that was taken over.
"""

from __future__ import annotations

import json
import socket
from functools import partial
from typing import BinaryIO

import pytest
from kubernetes.client import ApiException

from e2e.clients import Account, rcpt
from e2e.external_clients import ExternalClients
from e2e.kube import GROUP, Kube, Object, eventually
from e2e.operator import Operator
from e2e.platform import Platform, manifest
from e2e.processes import container_processes, containers
from e2e.world import World

COMPONENTS = ("smtp", "imap", "store", "filter", "valkey")
RELAY_ATTEMPTS = (
    "victim@elsewhere.test",
    "victim%elsewhere.test@example.test",
    "@example.test:victim@elsewhere.test",
    '"victim@elsewhere.test"@example.test',
    "elsewhere.test!victim",
    "elsewhere.test!victim@example.test",
    "victim@[198.51.100.7]",
    "victim@elsewhere.test@example.test",
)
TOKENS = (
    "import os; print(os.path.exists('/var/run/secrets/kubernetes.io'));"
    " print([name for name in os.environ if 'token' in name.lower() or 'password' in name.lower()])"
)
"""Prints whether there is a token, and the variables that may hold one."""
PRIVILEGED = (
    "import os, stat\n"
    "found = [path for path in ('/usr/bin/apt', '/usr/bin/dpkg', '/usr/bin/su') if os.path.exists(path)]\n"
    "for folder in ('/usr', '/etc', '/opt', '/var/lib/dpkg'):\n"
    "    for root, _, names in os.walk(folder):\n"
    "        for path in (os.path.join(root, name) for name in names):\n"
    "            if os.lstat(path).st_mode & (stat.S_ISUID | stat.S_ISGID) and os.path.isfile(path):\n"
    "                found.append(path)\n"
    "print(found)\n"
)
"""Prints package managers and the files that make somebody else of who runs them."""
SENDERS = ("stranger@outside.test", "alice@example.test", "", "postmaster@mail.example.test", "root@localhost")


@pytest.mark.row("B5")
def test_no_relay_from_the_node(platform: Platform) -> None:
    for sender in SENDERS:
        for recipient in RELAY_ATTEMPTS:
            with platform.smtp() as session:
                code, text = rcpt(session, recipient, sender)
                assert code >= 400, f"{sender} -> {recipient}: {code} {text}"


@pytest.mark.row("B5")
@pytest.mark.parametrize("where", ["outside", "pod"])
def test_nmap_finds_no_relay(platform: Platform, stranger: ExternalClients, where: str) -> None:
    """From an address that is nobody's, and from a pod of another namespace."""
    service = platform.service_address(f"{platform.name}-smtp")
    command = ["nmap", "-Pn", "-n", "-sT", "-p", "25,465,587", "--script", "smtp-open-relay", service]
    report = stranger.run(where, command)
    assert "25/tcp  open" in report, report
    assert "doesn't seem to be an open relay, all tests failed" in report, report


@pytest.mark.row("B5")
@pytest.mark.parametrize("where", ["outside", "pod"])
def test_swaks_finds_no_relay(platform: Platform, stranger: ExternalClients, where: str) -> None:
    service = platform.service_address(f"{platform.name}-smtp")
    for port in ("25", "587"):
        report = stranger.run(
            where,
            ["swaks", "--server", service, "--port", port, "--tls-optional", "--from", "alice@example.test",
             "--to", "victim@elsewhere.test", "--quit-after", "RCPT", "--timeout", "20"],
        )  # fmt: skip
        assert "<** 554 5.7.1" in report or "<~* 554 5.7.1" in report or "<~* 530" in report, report


@pytest.mark.row("B5")
@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.6", "own"])
def test_no_relay_through_a_proxy_beside_postfix(platform: Platform, source: str) -> None:
    """A mesh hands on what comes from everywhere, from an address of the pod itself."""
    (pod,) = platform.kube.pods(platform.namespace, "smtp", platform.name)
    address = pod["status"]["podIP"]
    script = (
        "import smtplib, sys\n"
        "here, there = sys.argv[1:]\n"
        "s = smtplib.SMTP(there, 10025, source_address=(here, 0), timeout=20)\n"
        "s.ehlo('proxy.example.test'); s.mail('alice@example.test')\n"
        "print(s.rcpt('victim@elsewhere.test')[0], s.rcpt('alice@example.test')[0])\n"
    )
    here, there = (address, address) if source == "own" else (source, "127.0.0.1")
    command = ["python3", "-c", script, here, there]
    answers = platform.kube.exec(platform.namespace, pod["metadata"]["name"], "postfix", command)
    assert answers.split() == ["554", "250"]


@pytest.mark.row("B4")
def test_mail_pods_hold_no_token(platform: Platform) -> None:
    for component in COMPONENTS:
        for pod in platform.kube.pods(platform.namespace, component, platform.name):
            assert pod["spec"]["automountServiceAccountToken"] is False
            for container in containers(pod):
                listed = platform.kube.exec(
                    platform.namespace, pod["metadata"]["name"], container["name"],
                    ["python3", "-c", TOKENS],  # not every image has a shell
                )  # fmt: skip
                assert listed.split() == ["False", "[]"], listed


@pytest.mark.row("B4")
def test_pods_run_with_the_fewest_privileges(platform: Platform) -> None:
    for component in COMPONENTS:
        for pod in platform.kube.pods(platform.namespace, component, platform.name):
            for container in containers(pod):
                check_container(platform, pod, container)


def check_container(platform: Platform, pod: Object, container: Object) -> None:
    """What the kernel says of the container's processes, not what the pod asks for."""
    name = pod["metadata"]["name"]
    status = platform.kube.exec(platform.namespace, name, container["name"], ["cat", "/proc/1/status"])
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    effective, uid = int(fields["CapEff"], 16), int(fields["Uid"].split()[0])
    assert fields["NoNewPrivs"] == "1", name
    assert fields["Seccomp"] == "2", name
    if container["name"] == "postfix":
        # CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID: bits 0, 1, 3, 5, 6, 7 of capabilities(7)
        assert effective & ~0b1110_1011 == 0, f"{name}: {effective:#x}"
    else:
        assert uid != 0, name
        assert effective == 0, f"{name}: {effective:#x}"
    written = platform.kube.exec(platform.namespace, name, container["name"], ["touch", "/etc/x", "/usr/x"])
    assert written.count("Read-only file system") == 2, written
    found = platform.kube.exec(platform.namespace, name, container["name"], ["python3", "-c", PRIVILEGED])
    assert found.strip() == "[]", f"{name}: {found}"


@pytest.mark.row("B4")
def test_restricted_admission_takes_every_pod_but_postfix(platform: Platform, kube_namespace: str) -> None:
    """The API server itself says which pods are restricted: the same, dry-run, in a restricted namespace."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    platform.kube.patch("v1", "Namespace", "", kube_namespace, {"metadata": {"labels": labels}})
    for component in COMPONENTS:
        pod = platform.kube.pods(platform.namespace, component, platform.name)[0]
        spec = {
            k: v
            for k, v in pod["spec"].items()
            if k not in {"nodeName", "serviceAccountName", "serviceAccount", "hostname"}
        }
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "dry", "namespace": kube_namespace},
            "spec": spec,
        }
        if component == "smtp":  # the first of them: the server may not have heard of the label yet
            refused = partial(dry_run, platform.kube, kube_namespace, body)
            eventually(lambda refused=refused: "violates PodSecurity" in refused(), "a refusal")  # type: ignore[misc]
        else:
            verdict = dry_run(platform.kube, kube_namespace, body)
            assert verdict == "", f"{component}: {verdict}"


def dry_run(kube: Kube, namespace: str, body: Object) -> str:
    """The API server's refusal of a pod, or nothing where it would take it."""
    try:
        kube.core.create_namespaced_pod(namespace, body, dry_run="All")
    except ApiException as error:
        return str(json.loads(error.body)["message"])
    return ""


@pytest.mark.row("B4")
def test_network_policies_hold(platform: Platform, stranger: ExternalClients) -> None:
    """A foreign pod reaches the client ports and none of the inner ones, nor the metrics of the operator."""
    closed = {
        "smtp": (10026, 9100, 9101),
        "imap": (9100,),
        "store": (10143, 10024, 10027, 12340, 9100),
        "filter": (11332, 11334),
        "valkey": (6379,),
    }
    open_to_all = {
        (platform.service_address(f"{platform.name}-smtp"), 25),
        (platform.service_address(f"{platform.name}-imap"), 993),
    }
    inner = {(address_of(platform, component), port) for component, ports in closed.items() for port in ports}
    operator = Operator(platform.kube)
    for pod in platform.kube.objects("v1", "Pod", operator.namespace, f"app.kubernetes.io/name={operator.name}"):
        inner |= {(pod["status"]["podIP"], port) for port in (8080, 8081)}
    assert stranger.reached("pod", open_to_all | inner) == open_to_all


@pytest.mark.row("B4")
def test_a_pod_that_is_taken_over_reaches_nobody_else(
    platform: Platform, world: World, stranger: ExternalClients
) -> None:
    """From within each pod's network: only smtp speaks to the world, on port 25, and nobody to the API server."""
    peer = world.start_peer("mx.egress.test", ports=(25, 443))
    api_server = (world.layout.node, 6443)
    world_outside = {(peer.address, 25), (peer.address, 443)}
    free = world_outside | {api_server}
    assert stranger.reached("pod", free) == free, "they answer whom no policy holds back"
    store, valkey = address_of(platform, "store"), address_of(platform, "valkey")
    stores = {(store, port) for port in (10143, 10024, 10027, 12340, 9443)}
    allowed = {
        "smtp": {(peer.address, 25), (store, 10024), (store, 10027), (store, 12340)},
        "imap": {(store, 10143)},
        "filter": {(valkey, 6379)},
    }
    for component in COMPONENTS:
        pod = platform.kube.pods(platform.namespace, component, platform.name)[0]
        inside = ExternalClients(stranger.outside, network_of(pod))
        others = (stores if component != "store" else set()) | ({(valkey, 6379)} if component != "valkey" else set())
        assert inside.reached("pod", free | others) == allowed.get(component, set()), component


@pytest.mark.row("D3")
def test_a_relay_opens_its_port_to_no_part_of_the_cluster(
    platform: Platform, world: World, stranger: ExternalClients
) -> None:
    """Whoever may write a MailDomain chooses a port: with that of the API server, Postfix still does not reach it."""
    api_server = (world.layout.node, 6443)
    peer = world.start_peer("mx.port.test", ports=(25, 6443))
    spec = {"delivery": "Relay", "relay": {"host": "mx.port.test", "port": 6443}, "dkim": {"enabled": False}}
    platform.kube.apply(manifest("MailDomain", platform.namespace, "port.test", spec))
    platform.kube.wait_condition("MailDomain", platform.namespace, "port.test", "Ready")
    inside = ExternalClients(
        stranger.outside, network_of(platform.kube.pods(platform.namespace, "smtp", platform.name)[0])
    )
    eventually(lambda: inside.reached("pod", {(peer.address, 6443)}), "the relay on its port", timeout=30)
    assert stranger.reached("pod", {api_server}) == {api_server}, "it answers whom no policy holds back"
    assert not inside.reached("pod", {api_server})
    platform.kube.delete(GROUP, "MailDomain", platform.namespace, "port.test")


def address_of(platform: Platform, component: str) -> str:
    return str(platform.kube.pods(platform.namespace, component, platform.name)[0]["status"]["podIP"])


def network_of(pod: Object) -> str:
    """The network namespace of a pod, by a process that stays."""
    found = (process for running in container_processes(pod).values() for process in running)
    process = next(process for process in found if process.inner == 1)
    return f"/proc/{process.pid}/ns/net"


@pytest.mark.row("B4")
def test_no_status_or_config_map_or_event_holds_a_secret(platform: Platform) -> None:
    account: Account = platform.add_mailbox()
    words = [
        account.password,
        platform.kube.secret(platform.namespace, f"{platform.name}-internal")["master-password"].decode(),
    ]
    seen = [
        json.dumps(platform.kube.objects(api_version, kind, platform.namespace), default=str)
        for api_version, kind in (
            ("v1", "ConfigMap"), ("v1", "Event"), ("v1", "Pod"), ("apps/v1", "StatefulSet"),
            (GROUP, "Mailbox"), (GROUP, "MailServer"), (GROUP, "MailDomain"),
        )
    ]  # fmt: skip
    for word in words:
        assert not [text for text in seen if word in text]
    platform.remove_mailbox(account.user)


@pytest.mark.row("B5")
def test_smuggled_mail_is_not_a_second_message(platform: Platform, alice: Account) -> None:
    """SMTP smuggling: a bare-newline end of data must not end the message."""
    envelope = b"MAIL FROM:<%s>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n"
    inner = envelope % b"forged@example.test" + b"From: forged@example.test\r\nSubject: two\r\n\r\nsecond\r\n.\r\n"
    for end in (b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r"):
        with socket.create_connection((platform.hostname, 25), timeout=20) as session:
            replies = session.makefile("rb")
            for line in (
                b"",
                b"EHLO outside.test\r\n",
                *(envelope % b"stranger@outside.test").splitlines(keepends=True),
            ):
                session.sendall(line)
                read_reply(replies)
            session.sendall(b"Subject: one\r\n\r\nfirst" + end + inner)
            assert read_reply(replies)[:1] in {b"2", b"5"}
            session.sendall(b"QUIT\r\n")
            assert b"queued as" not in replies.read(), f"{end!r} ended the message"
    with alice.imap() as mailbox:
        mailbox.select_folder("INBOX", readonly=True)
        assert not mailbox.search(["FROM", "forged@example.test"])


def read_reply(stream: BinaryIO) -> bytes:
    """The last line of one reply (RFC 5321, 4.2.1)."""
    while True:
        line = stream.readline()
        if line[3:4] != b"-":
            return line
