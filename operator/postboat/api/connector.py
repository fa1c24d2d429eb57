"""A remote mail account whose mail is fetched regularly, or migrated with its folders.

Fetched mail goes through the filter and to a local mailbox; a migration copies what the mailbox does not have yet.
"""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from postboat.api.base import Model, Rule
from postboat.api.conditions import Sentence, Status, Timestamp, Word
from postboat.api.listing import AS_SET
from postboat.api.values import (
    LINE,
    Count,
    Duration,
    EmailAddress,
    Flag,
    Host,
    ObjectName,
    Port,
    SecretKeyRef,
    ServerName,
)

RemoteUser = Annotated[str, StringConstraints(pattern=LINE, min_length=1, max_length=255)]
FolderName = Annotated[str, StringConstraints(pattern=LINE, min_length=1, max_length=255)]
Folders = Annotated[tuple[FolderName, ...], Field(max_length=128), AS_SET]


class Protocol(StrEnum):
    """How the remote server is asked for mail."""

    IMAP = "IMAP"
    POP3 = "POP3"


class Mode(StrEnum):
    """Whether mail is fetched again and again or copied with its folders."""

    FETCH = "Fetch"
    MIGRATION = "Migration"


class RemoteTls(StrEnum):
    """How the connection to the remote server is protected."""

    NONE = "None"
    START_TLS = "StartTLS"
    TLS = "TLS"


class MasterUser(Model):
    """An account of the remote server that may read the mail of others."""

    username: RemoteUser
    """Name of the master user, like vmail: the login becomes USER*vmail."""
    password_secret: SecretKeyRef
    """Secret with the password of the master user."""


class RemoteFolders(Model):
    """Which folders of the remote account count."""

    include: Folders = ()
    """Folders to read; for Fetch INBOX, for Migration all when absent."""
    exclude: Folders = ()
    """Folders to leave out of a migration."""


class Remote(Model):
    """The remote server and the account there."""

    host: Host
    """Host name or IP address of the remote server."""
    port: Port | None = None
    """Port; the usual one of the protocol when absent (143, 993, 110, 995)."""
    tls: RemoteTls | None = None
    """TLS from the first byte, StartTLS, or None; TLS when absent."""
    ca_secret: SecretKeyRef | None = None
    """Certificates (PEM) of the authority that signed the remote certificate; public ones when absent."""
    username: RemoteUser
    """Login of the remote account."""
    password_secret: SecretKeyRef | None = None
    """Secret with the password of the remote account."""
    master_user: MasterUser | None = None
    """Log in as a master user of the remote server instead, so that the user's password need not be known."""
    folders: RemoteFolders | None = None
    """Which folders count; with protocol IMAP."""

    constraints = (
        Rule(
            cel="has(self.passwordSecret) != has(self.masterUser)",
            message="write either passwordSecret (of the remote account) or masterUser (of the remote server)",
            holds=lambda remote: (remote.password_secret is None) != (remote.master_user is None),
        ),
    )


_FETCH_ONLY: Final = (
    ("interval", "interval"),
    ("deleteAfterDelivery", "delete_after_delivery"),
    ("filter", "filter"),
)


def _fetch_only(name: str, python_name: str) -> Rule:
    return Rule(
        cel=f"!has(self.{name}) || !has(self.mode) || self.mode == 'Fetch'",
        message=f"{name} has a meaning only with mode Fetch: leave it out of a migration",
        holds=lambda spec: getattr(spec, python_name) is None or spec.mode is not Mode.MIGRATION,
        field=name,
    )


class ConnectorSpec(Model):
    """What a connector should do."""

    server: ServerName | None = None
    """Name of the MailServer in this namespace; the oldest one when absent."""
    mailbox: ObjectName
    """Name of the Mailbox that gets the mail."""
    protocol: Protocol
    """IMAP or POP3."""
    mode: Mode | None = None
    """Fetch looks for new mail at once and then regularly, Migration copies all folders once; Fetch when absent."""
    remote: Remote
    """The remote server and the account there."""
    address: EmailAddress | None = None
    """E-mail address of the remote account, by which people know it."""
    interval: Duration | None = None
    """Time between two checks, like 15m. With mode Fetch."""
    delete_after_delivery: Flag | None = None
    """Delete mail on the remote server once it is delivered; else it stays there and is never fetched twice."""
    filter: Flag | None = None
    """Check fetched mail for spam and viruses before delivery; true when absent. With mode Fetch."""
    run_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]*$", max_length=63)] | None = None
    """Any word; change it to run the migration again. With mode Migration."""
    suspend: Flag | None = None
    """Do nothing for now."""

    constraints = (
        Rule(
            cel="!has(self.mode) || self.mode != 'Migration' || self.protocol == 'IMAP'",
            message="a migration needs protocol IMAP: POP3 knows neither folders nor flags",
            holds=lambda spec: spec.mode is not Mode.MIGRATION or spec.protocol is Protocol.IMAP,
            field="protocol",
        ),
        Rule(
            cel="!has(self.runId) || (has(self.mode) && self.mode == 'Migration')",
            message="runId has a meaning only with mode Migration: leave it out here",
            holds=lambda spec: spec.run_id is None or spec.mode is Mode.MIGRATION,
            field="runId",
        ),
        Rule(
            cel="!has(self.remote.folders) || self.protocol == 'IMAP'",
            message="remote.folders needs protocol IMAP: POP3 has only the inbox",
            holds=lambda spec: spec.remote.folders is None or spec.protocol is Protocol.IMAP,
            field="remote.folders",
        ),
        *(_fetch_only(name, python_name) for name, python_name in _FETCH_ONLY),
    )


class ConnectorStatus(Status):
    """What is known about a connector."""

    last_run: Timestamp | None = None
    """When the remote account was last asked."""
    last_success: Timestamp | None = None
    """When that last went well."""
    run_id: Word | None = None
    """The run of the migration that is done or under way."""
    fetched: Count | None = None
    """Messages brought over in the last run."""
    total: Count | None = None
    """Messages brought over in all runs."""
    error: Sentence | None = None
    """What went wrong in the last run; empty when nothing did."""
