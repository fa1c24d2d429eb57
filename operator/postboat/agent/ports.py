"""All ports of a platform: listeners, probes, Services, network policies and statuses take them from here.

A daemon listens on `number`, above 1023, since it does not run as root; clients reach `public` through a Service.
"""

from __future__ import annotations

from typing import NamedTuple


class Port(NamedTuple):
    """One port: its name in Services and pods, where a daemon listens, and where clients reach it (0: nowhere)."""

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
"""Stores send there what scripts redirect and answer."""
LMTP = Port("lmtp", 10024)
"""Postfix delivers to a store there, for mailboxes in all domains: the store finds one by the local part alone."""
LMTP_ONE_DOMAIN = Port("lmtp-one-domain", 10027)
"""Postfix delivers to a store there, for mailboxes in one domain: the store finds one by its whole address."""
QUOTA = Port("quota", 12340)
"""Postfix asks a store there whether a mailbox has room."""
MILTER = Port("milter", 11332)
CONTROLLER = Port("controller", 11334)
VALKEY = Port("valkey", 6379)

AGENT = Port("agent", 9100)
EDGE_AGENT = Port("edge-agent", 9101)
"""The agent of the second container in an smtp pod."""
INVENTORY = Port("inventory", 9443)
"""A store tells the operator there which mail it holds, over TLS and by a secret."""

CLIENTS = {"smtp": (SMTP, SUBMISSION, SUBMISSIONS), "imap": (IMAP, IMAPS), "pop3": (POP3, POP3S), "sieve": (SIEVE,)}
"""What clients reach, by protocol."""
LOGINS = (IMAP, POP3, SIEVE)
"""Where a store takes the sessions that edges lead on to it."""
