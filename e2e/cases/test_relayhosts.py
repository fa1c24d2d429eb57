"""Relay hosts: which mail leaves by which one, with which login and TLS, and what becomes of mail that cannot leave.

Two servers of the world stand for providers, `alpha` and `beta`; each takes mail of those who log in there only.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.client import ApiException

from e2e import turns
from e2e.clients import letter, wait_for_message
from e2e.kube import GROUP, Object, eventually
from e2e.managesieve import active_script
from e2e.platform import manifest, password_secret
from e2e.post import QUEUED, copies, drained, flush, older, post, present, queue, received, verdict
from e2e.processes import frozen_agent
from e2e.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from email.message import EmailMessage

    from e2e.clients import Account
    from e2e.platform import Platform
    from e2e.world.peer import Peer, Received

SUBMISSION, IMPLICIT, OTHER = 587, 465, 2525
ANYWHERE = "anybody"
SILENT = 15.0
AT_ONCE = 20
"""Deliveries to one destination at once (default_destination_concurrency_limit in postconf(5))."""
ODD_LOGINS = {
    "user@provider.example": "p:w$1{}%s#;",
    "two words": "\"quoted\" 'single' \\back ${x} $$",
    "ünï": "päss  wörd mit Leerzeichen",
    "$mail_version": "=" * 200,
}
CONNECTS = (
    "import socket,sys\n"
    "s = socket.socket()\n"
    "s.settimeout(3)\n"
    "print('open' if s.connect_ex((sys.argv[1], int(sys.argv[2]))) == 0 else 'closed')\n"
)


@dataclass
class Provider:
    """A server elsewhere that mail is handed to, with the logins that it knows."""

    peer: Peer
    host: str
    passwords: Mapping[str, str] = field(default_factory=dict)

    def got(self, message: EmailMessage) -> list[Received]:
        return [one for one in self.peer.messages() if message["Message-ID"].encode() in one.content]


@dataclass
class Providers:
    """Both providers, a third one without TLS, and the zone of their names."""

    platform: Platform
    zone: str
    alpha: Provider
    beta: Provider
    plain: Provider

    def relay(self, name: str, provider: Provider, login: str = "", **spec: Any) -> list[Object]:  # noqa: ANN401
        """A RelayHost with the provider's own certificate as authority, and the Secret of its login."""
        space = self.platform.namespace
        asked = {"host": provider.host, "caSecret": {"name": f"ca-{provider.peer.name}", "key": "ca.crt"}, **spec}
        if login:
            self.login(name, login, provider.passwords[login])
            asked["credentialsSecret"] = {"name": f"{name}-login"}
        given = {key: value for key, value in asked.items() if value is not None}
        return [manifest("RelayHost", space, name, given)]

    def login(self, name: str, user: str, password: str) -> None:
        values = {"username": user, "password": password}
        self.platform.kube.apply(password_secret(self.platform.namespace, f"{name}-login", values))


@dataclass(frozen=True)
class Strict:
    """A level, the host that it is asked of, and whether its authority is known."""

    tls: str
    host: str
    authority: bool = False


@pytest.fixture(scope="module")
def providers(platform: Platform, world: World) -> Iterator[Providers]:
    zone = f"relays-{turns.worker()}.test"
    made: dict[str, Provider] = {}
    for name, users in (("alpha", ("news", "shop")), ("beta", ("all",)), ("plain", ("open",))):
        passwords = {user: secrets.token_urlsafe(9) for user in users} | (ODD_LOGINS if name == "alpha" else {})
        tls = name != "plain"
        ports = (SUBMISSION, IMPLICIT) if tls else (SUBMISSION, OTHER)
        peer = world.start_peer(f"{name}.{zone}", ports=ports, tls=tls, passwords=passwords if tls else None)
        made[name] = Provider(peer, peer.name, passwords)
        if tls:
            content = {"ca.crt": peer.authority.read_text()}
            platform.kube.apply(password_secret(platform.namespace, f"ca-{peer.name}", content))
    records = {name: [f"A {one.peer.address}"] for name, one in made.items()}
    world.zones.publish(zone, records | {"alias": [f"A {made['alpha'].peer.address}"]})
    yield Providers(platform, zone, **made)
    world.zones.withdraw(zone)


@pytest.fixture(autouse=True)
def nothing_waits(platform: Platform, providers: Providers) -> Iterator[None]:
    yield
    for one in (providers.alpha, providers.beta, providers.plain):
        one.peer.accept()
    drained(platform)


def send(account: Account, sender: str, *recipients: str) -> EmailMessage:
    """Submit a message under an envelope sender; what it asks for in its header (RFC 8689) is no sender's to decide."""
    message = letter(sender, recipients[0])
    message["TLS-Required"] = "No"
    with account.submission() as session:
        assert not session.send_message(message, sender, recipients)
    return message


def last(platform: Platform, name: str, field: str) -> Mapping[str, str] | None:
    found = platform.kube.get(GROUP, "RelayHost", platform.namespace, name)
    return None if found is None else (found.get("status") or {}).get(field)


def delivering(platform: Platform, name: str, status: str, reason: str) -> str:
    """Wait for the condition Delivering, and give its message."""

    def look() -> str | None:
        found = platform.kube.condition("RelayHost", platform.namespace, name, "Delivering")
        return str(found["message"]) if found and (found["status"], found["reason"]) == (status, reason) else None

    return str(eventually(look, f"RelayHost {name}: Delivering={status}, {reason}", timeout=60))


def came(provider: Provider, message: EmailMessage) -> Received:
    found: list[Received] = eventually(lambda: provider.got(message), f"{provider.host} has the message")
    assert len(found) == 1
    return found[0]


def until_one(arrived: Callable[[EmailMessage], object], sending: Callable[[], EmailMessage], every: float = 1) -> None:
    """Send messages until one of them has arrived there: a change is in force."""
    sent: list[EmailMessage] = []

    def look() -> bool:
        sent.append(sending())
        return any(arrived(one) for one in sent)

    eventually(look, "a message arrives there", every=every)


@pytest.mark.row("R7")
def test_each_sender_leaves_by_its_own_relay_host(
    platform: Platform, providers: Providers, elsewhere: Peer, alice: Account
) -> None:
    """An address beats its domain; two logins at one host are never mixed up."""
    alpha, beta = providers.alpha, providers.beta
    objects = [
        *providers.relay("news", alpha, "news", senders=["News@example.test"]),
        *providers.relay("shop", alpha, "shop", senders=["shop@example.test", "@bücher.example"]),
        *providers.relay("domain", beta, "all", senders=["@example.test"]),
    ]
    to = elsewhere.recipient(ANYWHERE)
    with present(platform, *objects):
        ways = {
            "news@example.test": (alpha, "news"),
            "NEWS@Example.Test": (alpha, "news"),
            "news+spring@example.test": (alpha, "news"),
            "shop@example.test": (alpha, "shop"),
            "shop@xn--bcher-kva.example": (alpha, "shop"),
            "alice@example.test": (beta, "all"),
            "newsletter@example.test": (beta, "all"),
        }
        sent = {sender: send(alice, sender, to) for sender in ways}
        direct = [send(alice, sender, to) for sender in ("alice@example.org", "news@sub.example.test")]
        for sender, (provider, login) in ways.items():
            one = came(provider, sent[sender])
            assert (one.login, bool(one.tls), one.recipients) == (login, True, (to,)), sender
            assert one.sender.lower() == sender.lower()
        for message in direct:
            eventually(partial(received, elsewhere, message), "it came straight to the server of the recipient")
            assert not alpha.got(message) + beta.got(message)
        assert delivering(platform, "news", "True", "Delivered")
        assert last(platform, "news", "lastAccepted")
        columns = platform.kube.columns("RelayHost", platform.namespace, "news")
        assert (columns["Host"], columns["Delivering"]) == (f"{alpha.host}:587", "True")


@pytest.mark.row("R8")
def test_all_other_mail_leaves_by_the_default(
    platform: Platform, providers: Providers, elsewhere: Peer, alice: Account, bob: Account
) -> None:
    """Mail of foreign senders that is led on, and mail without a sender, leave by it, too; mail to us does not."""
    alpha, beta = providers.alpha, providers.beta
    away = f"away-{secrets.token_hex(3)}"
    forward = platform.add_mailbox(away, forward={"to": [elsewhere.recipient("target")], "keepCopy": False})
    objects = [
        *providers.relay("news", alpha, "news", senders=["news@example.test"]),
        *providers.relay("rest", beta, "all", default=True),
    ]
    with present(platform, *objects):
        to = elsewhere.recipient(ANYWHERE)
        assert came(alpha, send(alice, "news@example.test", to)).login == "news"
        assert came(beta, send(alice, "alice@example.test", to)).login == "all"
        led_on = post(platform, f"{forward.user}@example.test")
        assert came(beta, led_on).sender == "stranger@outside.test"
        busy = platform.add_mailbox()
        active_script(busy, 'require ["vacation"];\nvacation "Away.";\n')
        post(platform, f"{busy.user}@example.test", sender=to)
        assert len(beta.peer.wait(where=lambda one: one.sender == "<>" and to in one.recipients)) == 1
        ours = send(alice, "alice@example.test", "bob@example.org")
        wait_for_message(bob, ours["Message-ID"])
        assert not beta.got(ours)
    until_one(lambda one: received(elsewhere, one), partial(send, alice, "alice@example.test", to))
    for user in (away, busy.user):
        platform.remove_mailbox(user)


@pytest.mark.row("R7")
def test_a_relay_host_on_port_465(platform: Platform, providers: Providers, elsewhere: Peer, alice: Account) -> None:
    objects = providers.relay("implicit", providers.alpha, "shop", implicitTLS=True, senders=["@example.org"])
    with present(platform, *objects):
        found = platform.kube.get(GROUP, "RelayHost", platform.namespace, "implicit")
        assert found is not None
        assert found["status"]["endpoint"] == f"{providers.alpha.host}:465"
        one = came(providers.alpha, send(alice, "alice@example.org", elsewhere.recipient(ANYWHERE)))
        assert (one.login, bool(one.tls), one.asked) == ("shop", True, providers.alpha.host)


@pytest.mark.row("R7")
@pytest.mark.parametrize(
    "strict",
    [
        Strict("Required", "plain"),
        Strict("Verified", "plain"),
        Strict("Verified", "alpha"),
        Strict("Verified", "alias", authority=True),
    ],
    ids=["no STARTTLS", "no STARTTLS to verify", "an authority nobody knows", "a certificate of another name"],
)
def test_tls_that_is_demanded_never_falls_back(
    platform: Platform, providers: Providers, alice: Account, elsewhere: Peer, strict: Strict
) -> None:
    name = f"strict-{secrets.token_hex(2)}"
    provider = providers.plain if strict.host == "plain" else providers.alpha
    asked: dict[str, Any] = {
        "host": f"{strict.host}.{providers.zone}",
        "tls": strict.tls,
        "senders": ["@example.org"],
        **({} if strict.authority else {"caSecret": None}),
    }
    with present(platform, *providers.relay(name, provider, **asked)):
        message = send(alice, "alice@example.org", elsewhere.recipient(ANYWHERE))
        said = delivering(platform, name, "False", "TLSFailed")
        assert "spec.tls" in said
        assert str(message["To"]) not in said, "no address stands in a status"
        assert not provider.got(message)
        assert (last(platform, name, "lastDeferred") or {})["code"].startswith("4.7.")
        # Whoever demands less gets the message through: it was not lost.
        platform.kube.apply(manifest("RelayHost", platform.namespace, name, _without_tls(providers)))
        platform.kube.wait_condition("RelayHost", platform.namespace, name, "Ready")
        flush(platform)
        assert came(providers.plain, message).login == ""
        delivering(platform, name, "True", "Delivered")


def _without_tls(providers: Providers) -> dict[str, Any]:
    return {"host": providers.plain.host, "tls": "None", "senders": ["@example.org"]}


@pytest.mark.row("R7")
def test_opportunistic_tls_is_used_where_it_is_offered(
    platform: Platform, world: World, providers: Providers, alice: Account, elsewhere: Peer
) -> None:
    offers = world.start_peer(f"offers.{providers.zone}", ports=(SUBMISSION,), tls=True)
    for host, encrypted, peer in ((offers.address, True, offers), (providers.plain.host, False, providers.plain.peer)):
        spec = {"host": host, "senders": ["@example.org"]}
        with present(platform, manifest("RelayHost", platform.namespace, "open", spec)):
            message = send(alice, "alice@example.org", elsewhere.recipient(ANYWHERE))
            one = came(Provider(peer, host), message)
            assert (bool(one.tls), one.asked) == (encrypted, ""), "an address is told to nobody (RFC 6066, 3)"


@pytest.mark.row("R7")
def test_a_wrong_password_holds_mail_until_the_secret_is_right(
    platform: Platform, providers: Providers, alice: Account, elsewhere: Peer
) -> None:
    objects = providers.relay("rotated", providers.alpha, "news", senders=["@example.org"])
    wrong = f"wrong-{secrets.token_urlsafe(9)}"
    providers.login("rotated", "news", wrong)
    with present(platform, *objects):
        message = send(alice, "alice@example.org", elsewhere.recipient(ANYWHERE))
        said = delivering(platform, "rotated", "False", "AuthenticationFailed")
        assert "spec.credentialsSecret" in said
        assert wrong not in said
        assert "alice@example.org" in queue(platform)
        providers.login("rotated", "news", providers.alpha.passwords["news"])

        def tried() -> list[Received]:
            flush(platform)
            return providers.alpha.got(message)

        assert eventually(tried, "the new password is in force", every=1)[0].login == "news"
        delivering(platform, "rotated", "True", "Delivered")
        logs = "".join(
            platform.kube.logs(platform.namespace, pod["metadata"]["name"], "postfix")
            for pod in platform.kube.pods(platform.namespace, "smtp", platform.name)
        )
        assert wrong not in logs
        assert providers.alpha.passwords["news"] not in logs


@pytest.mark.row("R7")
def test_any_login_reaches_the_relay_host_as_it_is(
    platform: Platform, providers: Providers, alice: Account, elsewhere: Peer
) -> None:
    logins = {f"odd{number}": user for number, user in enumerate(ODD_LOGINS)}
    objects = [
        one
        for name, user in logins.items()
        for one in providers.relay(name, providers.alpha, user, senders=[f"{name}@example.test"])
    ]
    with present(platform, *objects):
        for name, user in logins.items():
            message = send(alice, f"{name}@example.test", elsewhere.recipient(ANYWHERE))
            assert came(providers.alpha, message).login == user


@pytest.mark.row("R7")
@pytest.mark.parametrize("lacks", ["the Secret", "a key of it", "the authority"])
def test_mail_waits_for_what_a_relay_host_lacks(
    platform: Platform, providers: Providers, alice: Account, elsewhere: Peer, lacks: str
) -> None:
    """It leaves by no other way, not even where there is a default, and the message says what is missing."""
    name = f"lacks-{secrets.token_hex(2)}"
    alpha, kube, space = providers.alpha, platform.kube, platform.namespace
    objects = providers.relay(name, alpha, "shop", senders=["@example.org"])
    if lacks == "the authority":
        objects[0]["spec"]["caSecret"] = {"name": f"{name}-ca", "key": "ca.crt"}
        missing, reason = (
            password_secret(space, f"{name}-ca", {"ca.crt": alpha.peer.authority.read_text()}),
            "SecretNotFound",
        )
    else:
        given = {"username": "shop", "password": alpha.passwords["shop"]}
        missing, reason = password_secret(space, f"{name}-login", given), "SecretNotFound"
        kube.delete("v1", "Secret", space, f"{name}-login")
        if lacks == "a key of it":
            kube.apply(password_secret(space, f"{name}-login", {"username": "shop"}))
            reason = "SecretKeyNotFound"
    rest = providers.relay("rest", providers.beta, "all", default=True)
    with present(platform, *rest), present(platform, *objects, ready=False):
        assert "Secret" in verdict(platform, "RelayHost", name, reason)
        message = send(alice, "alice@example.org", elsewhere.recipient(ANYWHERE))
        other = send(alice, "alice@example.test", elsewhere.recipient(ANYWHERE))
        assert came(providers.beta, other).login == "all"
        eventually(lambda: "relay host of this sender is not in place" in queue(platform), "the message waits")
        kube.apply(missing)
        kube.wait_condition("RelayHost", space, name, "Ready")
        flush(platform)
        assert came(alpha, message).login == "shop"
        assert not providers.beta.got(message)


@pytest.mark.row("R7")
def test_what_a_relay_host_answers(platform: Platform, providers: Providers, alice: Account, elsewhere: Peer) -> None:
    """4xx waits, 5xx goes back once, and each is told in the status."""
    alpha, peer = providers.alpha, providers.alpha.peer
    with present(platform, *providers.relay("answers", alpha, "news", senders=["@example.test"])):
        peer.refuse("451 4.7.1 slow down, <somebody@example.test>", at="mail")
        waits = send(alice, "alice@example.test", elsewhere.recipient(ANYWHERE))
        said = delivering(platform, "answers", "False", "DeliveryDeferred")
        assert "slow down" in said
        assert "somebody" not in said
        peer.accept()
        flush(platform)
        came(alpha, waits)
        delivering(platform, "answers", "True", "Delivered")
        peer.refuse("550 5.7.1 we do not like it", at="message")
        back = send(alice, "alice@example.test", elsewhere.recipient(ANYWHERE))
        said = delivering(platform, "answers", "False", "DeliveryRefused")
        assert "we do not like it" in said
        drained(platform)
        assert copies(platform, back) == {"alice": 1}, "the notice, with the header of the message"
        refused = last(platform, "answers", "lastRefused") or {}
        assert (refused["code"], "we do not like it" in refused["message"]) == ("5.7.1", True)
        peer.accept()
        peer.refuse("530 5.7.0 Authentication required", at="mail")
        asked = send(alice, "alice@example.test", elsewhere.recipient(ANYWHERE))
        delivering(platform, "answers", "False", "DeliveryDeferred")
        peer.accept()
        flush(platform)
        came(alpha, asked)


@pytest.mark.row("R7")
def test_mail_waits_for_a_host_that_dns_does_not_know(
    platform: Platform, providers: Providers, alice: Account, elsewhere: Peer
) -> None:
    """A misspelt name sends no mail back."""
    wrong = providers.relay("misspelt", providers.alpha, "news", senders=["@example.org"], host="alhpa.invalid")
    right = providers.relay("misspelt", providers.alpha, "news", senders=["@example.org"], implicitTLS=True)
    with present(platform, *wrong):
        message = send(alice, "alice@example.org", elsewhere.recipient(ANYWHERE))
        assert "name=alhpa.invalid" in delivering(platform, "misspelt", "False", "DeliveryDeferred")
        platform.kube.apply(*right)
        platform.kube.wait_condition("RelayHost", platform.namespace, "misspelt", "Ready")
        flush(platform)
        assert came(providers.alpha, message).login == "news"


@pytest.mark.row("R7")
def test_a_relay_host_that_hangs_holds_up_its_own_mail_only(
    platform: Platform, providers: Providers, alice: Account, elsewhere: Peer
) -> None:
    """It takes connections and says nothing; there is more mail for it than one destination may have at once."""
    alpha, beta, to = providers.alpha, providers.beta, elsewhere.recipient(ANYWHERE)
    objects = [
        *providers.relay("hangs", alpha, "news", senders=["hangs@example.test"]),
        *providers.relay("works", beta, "all", senders=["works@example.test"]),
    ]
    with present(platform, *objects), alice.submission() as session:
        alpha.peer.delay(SILENT, at="connect")
        held = [letter("hangs@example.test", to) for _ in range(AT_ONCE + 20)]
        for message in held:
            assert not session.send_message(message)
        through = send(alice, "works@example.test", to)
        direct = send(alice, "alice@example.test", to)
        came(beta, through)
        eventually(lambda: received(elsewhere, direct), "what has no relay host comes")
        assert not any(alpha.got(message) for message in held)
        alpha.peer.accept()
        for message in held:
            came(alpha, message)


@pytest.mark.row("R7")
def test_two_relay_hosts_for_one_sender(
    platform: Platform, providers: Providers, alice: Account, elsewhere: Peer
) -> None:
    first = providers.relay("first", providers.alpha, "news", senders=["one@example.test"], default=True)
    second = providers.relay("second", providers.beta, "all", senders=["ONE@example.test", "two@example.test"])
    third = providers.relay("third", providers.beta, "all", default=True)
    with present(platform, *first):
        older(platform, "RelayHost", "first")
        with present(platform, *second, *third, ready=False):
            assert "spec.senders[0]" in verdict(platform, "RelayHost", "second", "Conflict")
            assert "spec.default" in verdict(platform, "RelayHost", "third", "Conflict")
            to = elsewhere.recipient(ANYWHERE)
            until_one(providers.beta.got, partial(send, alice, "two@example.test", to))
            assert came(providers.alpha, send(alice, "one@example.test", to)).login == "news"
            assert came(providers.alpha, send(alice, "three@example.test", to)).login == "news"


@pytest.mark.row("R7")
@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({}, "write senders"),
        ({"default": False}, "write senders"),
        ({"senders": ["example.com"]}, "senders"),
        ({"senders": ["a b@example.com"]}, "senders"),
        ({"default": True, "host": "relay.example.net:587"}, "host"),
        ({"default": True, "host": "relay.example.net\n smtp"}, "host"),
        ({"default": True, "port": 0}, "port"),
        ({"default": True, "tls": "None", "credentialsSecret": {"name": "x"}}, "never sent in clear"),
        ({"default": True, "tls": "Opportunistic", "credentialsSecret": {"name": "x"}}, "never sent in clear"),
        ({"default": True, "tls": "None", "implicitTLS": True}, "implicitTLS"),
    ],
)
def test_a_relay_host_that_is_refused(platform: Platform, spec: dict[str, Any], says: str) -> None:
    wrong = manifest("RelayHost", platform.namespace, "wrong", {"host": "relay.example.net", **spec})
    with pytest.raises(ApiException) as caught:
        platform.kube.apply(wrong)
    assert says in str(caught.value.body)


@pytest.mark.row("R7")
def test_no_session_ends_when_relay_hosts_come_and_go(
    platform: Platform, providers: Providers, alice: Account, elsewhere: Peer
) -> None:
    with platform.smtp() as outside, alice.submission() as submitting, alice.imap() as reading:
        reading.select_folder("INBOX", readonly=True)
        for _ in range(2):
            with present(platform, *providers.relay("comes", providers.alpha, "news", senders=["@example.org"])):
                message = letter("alice@example.org", elsewhere.recipient(ANYWHERE))
                assert not submitting.send_message(message)
                came(providers.alpha, message)
                assert outside.noop()[0] == 250
            reading.noop()
        assert not submitting.send_message(letter("alice@example.test", "bob@example.test"))
        assert not outside.sendmail("stranger@outside.test", ["bob@example.test"], "Subject: still here\r\n\r\nyes\r\n")


@pytest.mark.row("R8")
def test_every_message_arrives_once_while_the_default_comes_and_goes(
    platform: Platform, providers: Providers, alice: Account, elsewhere: Peer
) -> None:
    """The way of a message may go while it is on it; it is tried on the other one then."""
    to = elsewhere.recipient(ANYWHERE)
    sent: list[EmailMessage] = []
    objects = providers.relay("rest", providers.beta, "all", default=True)
    with alice.submission() as session:

        def submitted() -> EmailMessage:
            sent.append(letter("alice@example.test", to))
            assert not session.send_message(sent[-1])
            return sent[-1]

        for _ in range(2):
            with present(platform, *objects, ready=False):
                until_one(providers.beta.got, submitted, every=0.05)
            until_one(lambda one: received(elsewhere, one), submitted, every=0.05)
    for message in sent:
        ways = partial(lambda one: [*received(elsewhere, one), *providers.beta.got(one)], message)
        eventually(ways, "the message arrives", timeout=QUEUED)
    drained(platform)
    assert all(len([*received(elsewhere, one), *providers.beta.got(one)]) == 1 for one in sent)


@pytest.mark.row("R7")
def test_the_network_policy_opens_the_port_of_a_relay_host_only(platform: Platform, providers: Providers) -> None:
    address = providers.plain.peer.address

    def reached(port: int) -> str:
        pod = platform.kube.pods(platform.namespace, "smtp", platform.name)[0]["metadata"]["name"]
        command = ["python3", "-c", CONNECTS, address, str(port)]
        return platform.kube.exec(platform.namespace, pod, "postfix", command).strip()

    spec = {"host": address, "port": OTHER, "tls": "None", "senders": ["@example.org"]}
    assert reached(OTHER) == "closed"
    with present(platform, manifest("RelayHost", platform.namespace, "other", spec)):
        eventually(lambda: reached(OTHER) == "open", "the port of the relay host is open")
        assert reached(SUBMISSION) == "closed"
    eventually(lambda: reached(OTHER) == "closed", "the port is closed again")


@pytest.mark.row("R7")
def test_a_login_that_is_the_platforms_own_is_not_handed_out(platform: Platform, providers: Providers) -> None:
    spec = {
        "host": providers.alpha.host,
        "default": True,
        "credentialsSecret": {"name": f"{platform.name}-internal", "passwordKey": "operator-token"},
    }
    with present(platform, manifest("RelayHost", platform.namespace, "thief", spec), ready=False):
        assert "platform's own" in verdict(platform, "RelayHost", "thief", "Invalid")


@pytest.mark.row("R7")
def test_mail_goes_on_when_the_reader_of_the_log_had_to_wait(
    platform: Platform, providers: Providers, alice: Account, elsewhere: Peer
) -> None:
    """Postfix logs through its agent: one that hangs for a while holds up no mail."""
    with present(platform, *providers.relay("busy", providers.alpha, "news", senders=["@example.org"])):
        (pod,) = platform.kube.pods(platform.namespace, "smtp", platform.name)
        with frozen_agent(pod, "postfix"):
            sent = [send(alice, "alice@example.org", elsewhere.recipient(ANYWHERE)) for _ in range(20)]
            for message in sent:
                came(providers.alpha, message)
        assert delivering(platform, "busy", "True", "Delivered")
