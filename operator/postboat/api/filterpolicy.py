"""What the filter does with mail: attachments, viruses, spam, allow and block rules, quarantine.

A MailServer names the policy for all mail (`filter.policy`), a MailDomain one of its own (`filterPolicy`).
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, Strict, StringConstraints

from postboat.api.base import Model, Rule
from postboat.api.conditions import Status, Word
from postboat.api.listing import AS_SET, keyed_by
from postboat.api.values import (
    LINE,
    AddressOrDomain,
    DomainName,
    EmailAddress,
    FileFormat,
    Flag,
    ObjectName,
    ServerName,
    Size,
)

Score = Annotated[float, Strict(), Field(ge=0, le=1000, allow_inf_nan=False)]
Weight = Annotated[float, Strict(), Field(ge=-100, le=100, allow_inf_nan=False)]
ListName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$", max_length=40)]
Loopback = Annotated[str, StringConstraints(pattern=r"^127(\.[0-9]{1,3}){3}$", max_length=15)]
Rules = Annotated[tuple[AddressOrDomain, ...], Field(max_length=2000), AS_SET]


class VirusAction(StrEnum):
    """What becomes of infected mail."""

    DISCARD = "Discard"
    REJECT = "Reject"


class ScanFailure(StrEnum):
    """What becomes of mail while the virus scanner is away."""

    DEFER = "Defer"
    DELIVER = "Deliver"


class Attachments(Model):
    """Attachments that are refused. Their content decides, not their name, and archives are looked into."""

    executables: Flag | None = None
    """Refuse programs, like exe or msi."""
    archives: Flag | None = None
    """Refuse archives, like zip or tar.gz, and office documents (docx, odt), which are archives too."""
    formats: Annotated[tuple[FileFormat, ...], Field(max_length=256), AS_SET] = ()
    """Further formats to refuse, each by its usual ending, like iso."""


class Antivirus(Model):
    """The search for viruses."""

    enabled: Flag | None = None
    """Scan mail for viruses; true when absent."""
    action: VirusAction | None = None
    """Discard drops infected mail without notice and logs it, Reject refuses it; Discard when absent."""
    max_size: Size | None = None
    """Larger messages are not scanned; the limit of the message size when absent."""
    on_failure: ScanFailure | None = None
    """Defer answers 4xx while the scanner is away, so that the sender tries again; Deliver lets mail pass unscanned."""


class Thresholds(Model):
    """Scores from which something happens to a message."""

    greylist: Score | None = None
    """From this score a message is refused for the time being (4xx) and accepted on a later try."""
    flag: Score | None = None
    """From this score a message gets the header `X-Spam: Yes`."""
    deny: Score | None = None
    """From this score a message is refused (5xx), or goes to quarantine."""

    constraints = (
        Rule(
            cel="!has(self.greylist) || !has(self.flag) || self.greylist <= self.flag",
            message="greylist must not be above flag",
            holds=lambda scores: scores.greylist is None or scores.flag is None or scores.greylist <= scores.flag,
            field="greylist",
        ),
        Rule(
            cel="!has(self.flag) || !has(self.deny) || self.flag <= self.deny",
            message="flag must not be above deny",
            holds=lambda scores: scores.flag is None or scores.deny is None or scores.flag <= scores.deny,
            field="flag",
        ),
        Rule(
            cel="!has(self.greylist) || !has(self.deny) || self.greylist <= self.deny",
            message="greylist must not be above deny",
            holds=lambda scores: scores.greylist is None or scores.deny is None or scores.greylist <= scores.deny,
            field="greylist",
        ),
    )


class ReturnCode(Model):
    """What one answer of a block list counts."""

    address: Loopback
    """The answer, like 127.0.0.2."""
    score: Weight
    """Added to the score of the message."""


class BlockList(Model):
    """A DNS block list that is asked about the sending server."""

    name: ListName
    """Name of the list; well-known ones (like spamhaus) need nothing else."""
    enabled: Flag | None = None
    """Ask this list; true when absent. False switches off a list that is on by itself."""
    zone: DomainName | None = None
    """DNS zone of the list, like dnsbl.example.net."""
    score: Weight | None = None
    """Added to the score of the message when the list answers and no code below matches."""
    codes: Annotated[tuple[ReturnCode, ...], Field(max_length=32), keyed_by("address")] = ()
    """What single answers count. Answers that complain about a public resolver never count."""


class Bayes(Model):
    """The statistical filter, which learns when mail is moved into Junk or out of it."""

    enabled: Flag | None = None
    """Learn, and classify once 200 spam and 200 ham messages are known; true when absent."""
    trainers: ObjectName | None = None
    """Name of the Mailbox of type Group whose members may train; `spamtrainers` if there is one, else everybody."""


class Antispam(Model):
    """The search for spam."""

    enabled: Flag | None = None
    """Score mail; true when absent."""
    thresholds: Thresholds | None = None
    """Scores from which something happens to a message."""
    subject_prefix: Annotated[str, StringConstraints(pattern=LINE, max_length=64)] | None = None
    """Put before the subject of flagged mail, like `[SPAM] `."""
    dnsbl: Annotated[tuple[BlockList, ...], Field(max_length=64), keyed_by("name")] = ()
    """DNS block lists to ask."""
    bayes: Bayes | None = None
    """The statistical filter."""


class AllowBlock(Model):
    """Senders and recipients that need no judgement. A domain includes its subdomains; allow beats block."""

    allow_from: Rules = ()
    """Senders whose mail is accepted without a search for spam and viruses."""
    allow_to: Rules = ()
    """Recipients whose mail is accepted without a search for spam and viruses."""
    block_from: Rules = ()
    """Senders whose mail is refused."""


class Quarantine(Model):
    """Where mail above the deny threshold goes instead of being refused."""

    mailbox: ObjectName | None = None
    """Name of a Mailbox; mail to it is not filtered."""
    address: EmailAddress | None = None
    """An address elsewhere; the server there must accept spam."""
    notify: Flag | None = None
    """Send a notice to the postmaster for each message; false when absent."""

    constraints = (
        Rule(
            cel="has(self.mailbox) != has(self.address)",
            message="write either mailbox (the name of a Mailbox) or address (an e-mail address)",
            holds=lambda to: (to.mailbox is None) != (to.address is None),
        ),
    )


class FilterPolicySpec(Model):
    """What the filter should do."""

    server: ServerName | None = None
    """Name of the MailServer in this namespace; the oldest one when absent."""
    priority: Annotated[int, Strict(), Field(ge=0, le=1000)] | None = None
    """Which policy judges a message to several domains: the one with the highest number; 0 when absent."""
    attachments: Attachments | None = None
    """Attachments that are refused."""
    antivirus: Antivirus | None = None
    """The search for viruses."""
    antispam: Antispam | None = None
    """The search for spam."""
    rules: AllowBlock | None = None
    """Senders and recipients that need no judgement."""
    quarantine: Quarantine | None = None
    """Where mail above the deny threshold goes instead of being refused."""


class FilterPolicyStatus(Status):
    """What is known about a policy."""

    domains: Annotated[tuple[Word, ...], Field(max_length=32), AS_SET] = ()
    """Domains that the policy judges; the first 32 of them."""
