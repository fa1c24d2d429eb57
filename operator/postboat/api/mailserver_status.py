"""What is known about a mail platform: counts, certificate, endpoints, orphans, training of the filter.

It is apart from the spec because the operator writes it and nobody else.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from postboat.api.base import Model
from postboat.api.conditions import Status, Timestamp, Word
from postboat.api.listing import AS_SET, keyed_by
from postboat.api.values import Count


class Counts(Model):
    """How many objects belong to the platform, and how many of them are part of its configuration."""

    domains: Count | None = None
    """Mail domains in force."""
    mailboxes: Count | None = None
    """Mailboxes in force."""
    addresses: Count | None = None
    """Addresses in force."""
    connectors: Count | None = None
    """Connectors in force; not told in this version."""
    relays: Count | None = None
    """Relay hosts in force; not told in this version."""
    policies: Count | None = None
    """Filter policies in force; not told in this version."""
    refused: Count | None = None
    """Objects of all kinds that are not in force; each tells why in its own status."""


class TlsSource(StrEnum):
    """Where the certificate comes from."""

    SECRET = "Secret"  # noqa: S105 -- a word, no secret
    SELF_SIGNED = "SelfSigned"


class TlsStatus(Model):
    """The certificate in force."""

    source: TlsSource | None = None
    """Secret or SelfSigned."""
    secret_name: Word | None = None
    """Secret that holds it."""
    not_after: Timestamp | None = None
    """When it ends."""


class Orphan(Model):
    """Mail whose Mailbox object is gone."""

    username: Word
    """User name of the mailbox."""
    type: Word
    """User or Public: the type of the Mailbox that it was of, and that can claim it."""
    store: Count | None = None
    """Number of the store pod that keeps the mail."""
    bytes: Count | None = None
    """Bytes of mail; not told where a store keeps mail of both types under one name."""
    since: Timestamp | None = None
    """When the object was found to be gone."""


class Endpoint(Model):
    """Where clients reach a service."""

    name: Word
    """smtp or imap."""
    host: Word | None = None
    """Host name or address."""
    ports: Annotated[tuple[Count, ...], Field(max_length=16), AS_SET] = ()
    """Ports."""


class BayesStatus(Model):
    """How far the statistical filter is trained; it classifies from 200 of each."""

    spam: Count | None = None
    """Spam messages learned."""
    ham: Count | None = None
    """Ham messages learned."""
    active: bool | None = None
    """Whether there are enough of both."""


class Replicas(Model):
    """How many pods of a workload serve."""

    name: Word
    """smtp, imap, store, filter, valkey, antivirus, fetch or resolver."""
    desired: Count | None = None
    """Pods that should be."""
    ready: Count | None = None
    """Pods that serve."""
    current: Count | None = None
    """Pods that serve with the newest configuration."""


class MissingMail(Model):
    """What a store lacks since it came back on another volume."""

    volume: Word | None = None
    """Name of the volume that the store has now."""
    mailboxes: Count | None = None
    """Mailboxes that lack mail."""
    messages: Count | None = None
    """Messages that they had by their statuses and have no more."""
    bytes: Count | None = None
    """Bytes of these messages."""
    since: Timestamp | None = None
    """When the store first told of the other volume."""


class StoreStatus(Model):
    """The volume of a store."""

    store: Count
    """Number of the store pod."""
    volume: Word | None = None
    """Name of the volume with its mail, which its agent has given it; no object has this name."""
    missing: MissingMail | None = None
    """What is missing while the store has another volume; it is forgotten when the volume is back or is accepted."""


class MailServerStatus(Status):
    """What is known about a mail platform."""

    hostname: Word | None = None
    """The host name in force."""
    counts: Counts | None = None
    """How many objects belong to the platform."""
    tls: TlsStatus | None = None
    """The certificate in force."""
    endpoints: Annotated[tuple[Endpoint, ...], Field(max_length=8), keyed_by("name")] = ()
    """Where clients reach the platform."""
    workloads: Annotated[tuple[Replicas, ...], Field(max_length=16), keyed_by("name")] = ()
    """How many pods of each workload serve."""
    orphans: Annotated[tuple[Orphan, ...], Field(max_length=100), keyed_by("username", "type")] = ()
    """Mail whose Mailbox object is gone; the first 100 of them."""
    orphan_count: Count | None = None
    """Number of mailboxes whose object is gone."""
    stores: Annotated[tuple[StoreStatus, ...], Field(max_length=1000), keyed_by("store")] = ()
    """The volumes of the stores."""
    bayes: BayesStatus | None = None
    """How far the statistical filter is trained; not told in this version."""
