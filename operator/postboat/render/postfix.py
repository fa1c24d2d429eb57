"""Postfix: receives mail from other servers and from users, passes it to the filter, queues and delivers it.

Its ports are described in docs/interfaces.md; what each of them allows is in one table here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from postboat.agent import ports
from postboat.model import names
from postboat.model.platform import Platform
from postboat.model.routes import MOST_TARGETS
from postboat.render import escape, relayhosts
from postboat.render.files import File
from postboat.render.tables import LEAVES, LED_ON, policy_patterns, quota_class, transport
from postboat.render.template import ACTIVE, TABLES, fill
from postboat.render.tls import CIPHERS, POLICIES, UNKNOWN_HOST, with_server_names

LMTP_CONCURRENCY: Final = 20
"""Parallel deliveries to one store, from each smtp pod."""
CLIENT_SESSIONS: Final = 30
"""Parallel sessions of one client on a port, so that a few such clients leave room for others."""
# Greater numbers end the daemons that read them, qmgr for one, which no validation starts.
_LONGEST_LIFETIME: Final = 2**31 - 1
_LARGEST_MESSAGE: Final = 2**53

# Postfix folds what it looks up (Unicode, 3.13), and takes these letters for others. In the name of a domain they are
# letters of their own (UTS 46, nontransitional).
_OTHER_WHEN_FOLDED: Final = "ßẞς"
_BEFORE_DOMAIN: Final = '[[:space:]]+(FROM|TO):[[:space:]]*<?[^>"[:space:]]*@'
"""What a command says before the domain of its address; whoever quotes a local part is nobody of ours."""
_KNOWN_RECIPIENTS: Final = ", ".join(
    (
        "reject_non_fqdn_recipient",
        f"check_recipient_access lmdb:{TABLES}/refused",
        "reject_unlisted_recipient",
        f"check_recipient_access lmdb:{TABLES}/relays",
    )
)
_WITHIN_QUOTA: Final = f"check_recipient_access lmdb:{TABLES}/quotas"
# The filter makes what leaves fit for every server, and lets the rest be as it is; of where mail goes it knows nothing.
_LEAVING: Final = ", ".join(
    (
        f"check_recipient_access lmdb:{TABLES}/leaving",
        "permit_auth_destination",
        f"check_recipient_access static:{{{LEAVES}}}",
    )
)
# What looks like spam is led on to no other server: the filter knows what it looks like, Postfix where it goes.
_FORWARDS: Final = f"check_recipient_access lmdb:{TABLES}/forwards"
_LED_ON: Final = ", ".join((_FORWARDS, "permit_auth_destination", f"check_recipient_access static:{{{LED_ON}}}"))
# A login counts as long as its user: after 421 the client has to show its password again (RFC 5321, 3.8).
_SUBMITTERS: Final = ", ".join(
    (
        f"check_sasl_access lmdb:{TABLES}/submitters",
        "check_sasl_access static:{421 4.7.0 Log in again}",
    )
)
_STORES_NAME: Final = "stores"
_SUBMITTED_NAME: Final = "submitted"
"""What ports write for their program into `Received`; a cleanup service knows its lines by it and writes them anew."""
_SUBMISSION: Final = (
    # Insiders reach every address that exists; port 25 alone asks more.
    f"smtpd_recipient_restrictions = {_KNOWN_RECIPIENTS}, {_WITHIN_QUOTA}, {_LEAVING}",
    "cleanup_service_name = submitcleanup",
    "smtpd_tls_security_level = encrypt",
    "smtpd_sasl_auth_enable = yes",
    "smtpd_client_restrictions = permit_sasl_authenticated, reject",
    f"smtpd_relay_restrictions = {_SUBMITTERS}, reject",
    # Once for each message: who was logged in stands in one line with the sender that he named.
    "smtpd_end_of_data_restrictions = check_client_access static:{INFO submitted}",
)
_INNER: Final = (
    # A redirect to a full mailbox comes back to its sender; refused here, the message would come again and again.
    f"smtpd_recipient_restrictions = {_KNOWN_RECIPIENTS}, {_LED_ON}",
    "cleanup_service_name = innercleanup",
    f"mail_name = {_STORES_NAME}",
    "smtpd_tls_security_level = encrypt",
    f"smtpd_tls_chain_files = {ACTIVE}/inner.pem",
    f"smtpd_tls_CAfile = {ACTIVE}/ca.pem",
    "smtpd_tls_req_ccert = yes",
    "smtpd_client_restrictions = permit_tls_all_clientcerts, reject",
    "smtpd_relay_restrictions = permit_tls_all_clientcerts, reject",
    "smtpd_sender_restrictions =",
    # The filter signs here and judges nothing; without it a redirect still leaves, since its mail has been judged.
    f"milter_macro_defaults = auth_authen={names.SCRIPTS}",
    "milter_default_action = accept",
    # The agent asks here whether Postfix answers, which it does without the filter, too.
    "smtpd_milter_maps = inline:{ { 127.0.0.1 = DISABLE }, { ::1 = DISABLE } }",
)


_SUBMISSION_PORTS: Final = frozenset({"submission", "submissions"})


@dataclass(frozen=True, slots=True)
class QuotaCheck:
    """A restriction class: asks a store whether a mailbox has room for a message."""

    name: str
    service: str
    """Address of the policy service on the store, `inet:HOST:PORT`."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One port of Postfix and the settings that differ from main.cf."""

    port: int
    name: str
    """Name of the service in the log."""
    options: tuple[str, ...]
    """`name = value` for `-o` in master.cf."""
    processes: int = 100
    """Sessions at the same time, at most."""


LISTENERS: Final = (
    Listener(ports.SMTP.number, "smtpd", (), processes=250),
    Listener(ports.SUBMISSION.number, "submission", _SUBMISSION, processes=150),
    Listener(ports.SUBMISSIONS.number, "submissions", (*_SUBMISSION, "smtpd_tls_wrappermode = yes"), processes=150),
    Listener(ports.INNER.number, "inner", _INNER),
)


def files(platform: Platform) -> tuple[File, ...]:
    """Return all files of the container `postfix` but its tables."""
    checks = tuple(_quota_check(platform, store) for store in range(platform.stores.replicas))
    transports = tuple(transport(store) for store in range(platform.stores.replicas))
    main = fill(
        "main.cf",
        hostname=escape.postfix_word(platform.hostname),
        helo=escape.postfix_word(platform.smtp.helo),
        ciphers=CIPHERS,
        milter=escape.postfix_word(f"inet:{platform.fqdn('filter')}:{ports.MILTER.number}"),
        message_size=min(platform.smtp.message_size, _LARGEST_MESSAGE),
        queue_lifetime=min(platform.smtp.queue_lifetime, _LONGEST_LIFETIME),
        most_targets=MOST_TARGETS,
        client_sessions=CLIENT_SESSIONS,
        mailbox_domain=names.MAILBOX_DOMAIN,
        known_recipients=_KNOWN_RECIPIENTS,
        within_quota=_WITHIN_QUOTA,
        forwards=_FORWARDS,
        postmaster_domain=names.POSTMASTER_DOMAIN,
        trusted_networks=tuple(escape.postfix_word(_network(network)) for network in platform.smtp.trusted_networks),
        transports=transports,
        tls_policies=", ".join(_tls_policies()),
        default_transport=escape.postfix(relayhosts.default(platform)),
        quota_checks=checks,
        quota_classes=", ".join(check.name for check in checks),
        conversions=tuple(_conversions(platform)),
        outcomes=tuple(_outcomes(platform)),
        notices=tuple(_notices(platform)),
        traces_of_stores=_without_client(_STORES_NAME),
        traces_of_users=_without_client(_SUBMITTED_NAME),
    )
    services = tuple(_hidden(one) if platform.smtp.hide_client else one for one in LISTENERS)
    master = fill(
        "master.cf",
        services=services,
        lmtp_processes=LMTP_CONCURRENCY,
        transports=transports,
        relay_hosts=relayhosts.services(platform),
        unknown_host=UNKNOWN_HOST,
    )
    certificate, internal = platform.certificate, platform.internal
    return (
        File("main.cf", "main.cf", main),
        File("master.cf", "master.cf", master),
        File("tls.pem", "tls.pem", certificate.key + certificate.chain, secret=True, mode="0600"),
        File("inner.pem", "inner.pem", internal.smtp_key + internal.smtp_chain, secret=True, mode="0600"),
        File("client.pem", "client.pem", internal.client_key + internal.client_chain, secret=True, mode="0600"),
        File("ca.pem", "ca.pem", internal.ca, secret=True),
        *relayhosts.authorities(platform),
    )


def _tls_policies() -> Iterator[str]:
    """Yield the tables of TLS policies by next hop: rows of single relays first, then patterns."""
    patterns = ((r"/^\[.*\]:[1-9]/", POLICIES["Opportunistic"]), *policy_patterns())
    common = ", ".join(f"{{ {hop} {policy} }}" for hop, policy in patterns)
    return with_server_names((f"lmdb:{TABLES}/tlspolicies", f"regexp:{{ {common} }}"))


def _hidden(listener: Listener) -> Listener:
    """Return a submission port that removes the client from `Received`; other ports are unchanged."""
    if listener.name not in _SUBMISSION_PORTS:
        return listener
    return replace(listener, options=(*listener.options, f"mail_name = {_SUBMITTED_NAME}"))


def _without_client(program: str) -> str:
    """Return a header check that rewrites the `Received` of a port without what it says about the client."""
    pattern = rf"/^Received: from .*[[:space:]]by ([^[:space:]]+) \({program}\) with (.*)/"
    return f"{{ {{ {pattern} REPLACE Received: by $$1 (Postfix) with $$2 }} }}"


def _store(platform: Platform) -> str:
    """Return a pattern for every name that Postfix uses for a store; its first group is the number."""
    dots = platform.fqdn("store").replace(".", r"\.")
    return rf"{platform.name}-store-([0-9]+)\.{dots}(\[[0-9a-f.:]+\])?(:[0-9]+)?"


def _outcomes(platform: Platform) -> Iterator[tuple[str, str]]:
    """Yield patterns and replacements for the result of a delivery to a store, in queue, log and notices.

    A recipient that was accepted exists, so 5.1.1 of a store becomes a temporary error.
    """
    ours = r"\.(1\.1|4\.[0-9]+)"
    yield rf"/^[45]({ours}) (.*[ =])?{_store(platform)}(.*)/", "4$$(1) $$(3)store $$(4)$$(7)"
    yield rf"/^5({ours} .*)/", "4$$(1)"
    yield rf"/^([45]\.[0-9.]+) (.*[ =])?{_store(platform)}(.*)/", "$$(1) $$(2)store $$(3)$$(6)"


def _notices(platform: Platform) -> Iterator[tuple[str, str]]:
    """Yield patterns and replacements for lines of bounce messages, which may name a mailbox, its store, or both.

    A mailbox in one domain is called by its address, which is part of its name inside the platform.
    """
    inner = names.MAILBOX_DOMAIN.replace(".", r"\.")
    mailbox, address = rf"([^@<> ]+)@{inner}", "@$myhostname"
    bound = rf"([^@<> =]+)=([^@<> ]+)@{inner}"
    yield rf"/^(.*[< ]){bound}(.* ){_store(platform)}(.*)/", "$$(1)$$(2)@$$(3)$$(4)store $$(5)$$(8)"
    yield rf"/^(.*[< ])?{bound}(.*)/", "$$(1)$$(2)@$$(3)$$(4)"
    yield rf"/^(.*[< ]){mailbox}(.* ){_store(platform)}(.*)/", f"$$(1)$$(2){address}$$(3)store $$(4)$$(7)"
    yield rf"/^(.*[< ])?{mailbox}(.*)/", f"$$(1)$$(2){address}$$(3)"
    yield rf"/^(Remote-MTA: dns; ){_store(platform)}$$/", "$$(1)$myhostname"
    yield rf"/^(.* )?{_store(platform)}(.*)/", "$$(1)store $$(2)$$(5)"


def _conversions(platform: Platform) -> Iterator[tuple[str, str]]:
    """Yield patterns and replacements for SMTP commands with a domain that Postfix would take for another one.

    Only here the address is as the client wrote it. A local domain becomes its A-labels; another one becomes a domain
    that is refused, since Postfix cannot write it in ASCII.
    """
    for domain in platform.domains:
        form = names.unicode(domain.name)
        if any(letter in form for letter in _OTHER_WHEN_FOLDED):
            letters = [_either_case(letter) for letter in form]
            last = 4 + sum("(" in letter for letter in letters)
            pattern = rf"/^((MAIL|RCPT){_BEFORE_DOMAIN}){''.join(letters)}([>[:space:]].*|$$)/"
            yield pattern, f"$$(1){domain.name}$$({last})"
    others = "|".join(_OTHER_WHEN_FOLDED)
    yield f"/^(RCPT{_BEFORE_DOMAIN})[^>[:space:]]*({others})[^>[:space:]]*(.*)/", f"$$(1){names.UNICODE_DOMAIN}$$(4)"
    yield f'/^RCPT[[:space:]][^>]*".*@.*({others})/', f"RCPT TO:<unicode@{names.UNICODE_DOMAIN}>"


def _either_case(letter: str) -> str:
    """Return a pattern for a letter of a U-label in both cases; Postfix ignores the case of ASCII letters only."""
    if letter.isascii():
        return letter.replace(".", r"\.")
    upper = {"ß": "ẞ"}.get(letter, letter.upper())
    return f"({letter}|{upper})" if len(upper) == 1 and upper.lower() == letter else letter


def _network(network: str) -> str:
    """Return a network as Postfix writes it: an IPv6 address is in brackets, followed by the length of the prefix."""
    address, slash, length = network.partition("/")
    return f"[{address}]{slash}{length}" if ":" in address else network


def _quota_check(platform: Platform, store: int) -> QuotaCheck:
    return QuotaCheck(
        quota_class(store), escape.postfix_word(f"inet:{platform.store_host(store)}:{ports.QUOTA.number}")
    )
