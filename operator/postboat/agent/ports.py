"""All ports of a platform, for listeners, probes, Services, network policies and statuses.

A daemon listens on `number`, which is above 1023, since it does not run as root; clients connect to `public` of a
Service.
"""

from __future__ import annotations

from typing import NamedTuple


class Port(NamedTuple):
    """One TCP port.

    Attributes:
        name: Name in Services and pods.
        number: Where the daemon listens.
        public: Where clients connect; 0 when they do not.
    """

    name: str
    number: int
    public: int = 0


SMTP = Port("smtp", 10025, 25)
SUBMISSION = Port("submission", 10587, 587)
SUBMISSIONS = Port("submissions", 10465, 465)
IMAP = Port("imap", 10143, 143)
IMAPS = Port("imaps", 10993, 993)
POP3 = Port("pop3", 10110, 110)
POP3S = Port("pop3s", 10995, 995)
SIEVE = Port("sieve", 14190, 4190)

INNER = Port("inner", 10026)
"""Postfix accepts there what Sieve scripts on stores redirect and answer."""
LMTP = Port("lmtp", 10024)
"""A store accepts mail there for mailboxes in all domains: it finds the mailbox by the local part."""
LMTP_ONE_DOMAIN = Port("lmtp-one-domain", 10027)
"""A store accepts mail there for mailboxes in one domain: it finds the mailbox by the whole address."""
QUOTA = Port("quota", 12340)
"""Policy service of a store: Postfix asks there whether a mailbox has room."""
MILTER = Port("milter", 11332)
CONTROLLER = Port("controller", 11334)
VALKEY = Port("valkey", 6379)

AGENT = Port("agent", 9100)
EDGE_AGENT = Port("edge-agent", 9101)
"""The agent of the sidecar in an smtp pod."""
INVENTORY = Port("inventory", 9443)
"""The operator reads there which mail a store holds, by TLS and a token."""

CLIENTS = {"smtp": (SMTP, SUBMISSION, SUBMISSIONS), "imap": (IMAP, IMAPS), "pop3": (POP3, POP3S), "sieve": (SIEVE,)}
"""What clients connect to, by protocol."""
LOGINS = (IMAP, POP3, SIEVE)
"""Where edges proxy sessions to on a store."""
