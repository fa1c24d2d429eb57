"""The result of judging an object: accepted, accepted in part, or refused with a reason.

A refused object is a value and never an exception, so that it cannot stop the others.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar, overload
from zlib import crc32

from typing_extensions import override

Key = tuple[str, str]
"""Kind and name of an object; its namespace is that of the MailServer."""

_BUCKETS: Final = 256
_T = TypeVar("_T")


class Reason(StrEnum):
    """The closed set of reasons; each is documented for users under its own name."""

    ACCEPTED = "Accepted"
    """Every field of the object is part of the configuration."""
    FIELD_NOT_IN_FORCE = "FieldNotInForce"
    """The object is part of the configuration, but some of its fields are without effect in this version."""
    NOT_IN_FORCE = "NotInForce"
    """The object as a whole is without effect in this version."""
    INVALID = "Invalid"
    """A field has a value that the schema or a rule refuses."""
    CONFLICT = "Conflict"
    """An older object already claims the same name, address or domain."""
    SERVER_NOT_FOUND = "ServerNotFound"
    """The MailServer that the object names does not exist, or the namespace has none."""
    DOMAIN_NOT_FOUND = "DomainNotFound"
    """The object names a domain that no accepted MailDomain states."""
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 -- a reason, not a password
    """A referenced Secret does not exist."""
    SECRET_KEY_NOT_FOUND = "SecretKeyNotFound"  # noqa: S105
    """A referenced Secret lacks the key that the object names."""
    INVALID_SECRET = "InvalidSecret"  # noqa: S105
    """A referenced Secret holds something that cannot be used, like a key that does not match its certificate."""
    UNKNOWN_MAILBOX = "UnknownMailbox"
    """The object names a Mailbox that is not part of the configuration."""
    CYCLE = "Cycle"
    """Addresses or groups lead back to themselves."""
    TOO_LARGE = "TooLarge"
    """The object does not fit into what Kubernetes can hold in one Secret."""
    IMMUTABLE = "Immutable"
    """The change asks for something that cannot be changed on existing volumes; what exists stays."""
    PAUSED = "Paused"
    """The MailServer asks to be left as it is."""
    DELETING = "Deleting"
    """The object is being deleted and counts no more."""
    STORE_UNAVAILABLE = "StoreUnavailable"
    """A store does not answer or has not finished, so that the mail is not erased yet."""
    IN_FORCE = "InForce"
    """Every replica serves the object as it is written."""
    PENDING = "Pending"
    """The object is part of the configuration, and not all replicas have loaded it yet."""
    SYNCED = "Synced"
    """Every object of the platform is in the cluster as planned."""
    SYNC_FAILED = "SyncFailed"
    """An object of the platform could not be written; the message tells which."""
    KEYS_MISSING = "KeysMissing"
    """Keys that the platform makes for itself are not there yet."""
    WORKLOADS_READY = "WorkloadsReady"
    """Every pod of every workload serves."""
    WORKLOADS_NOT_READY = "WorkloadsNotReady"
    """Some pods do not serve yet."""
    CONFIGURATION_REFUSED = "ConfigurationRefused"
    """A daemon refused the newest configuration; the message tells whether it goes on with an earlier one."""
    CONFIGURATION_DELAYED = "ConfigurationDelayed"
    """The newest configuration is not in force yet in some pod, for a reason that may pass by itself."""
    STORAGE_AVAILABLE = "StorageAvailable"
    """No volume is filled to 80 %."""
    STORAGE_FILLING = "StorageFilling"
    """A volume is filled to 80 %, or has room for two of the largest messages only."""
    STORAGE_NEARLY_FULL = "StorageNearlyFull"
    """A volume is filled to 95 %."""
    STORAGE_FULL = "StorageFull"
    """A volume has no room, so mail is deferred or waits."""
    CLAIMS_SERVED = "ClaimsServed"
    """Every claim has its pod, or is to have it."""
    CLAIM_WITHOUT_POD = "ClaimWithoutPod"
    """A claim may hold mail, and its pod is not to come back."""
    MAIL_PRESENT = "MailPresent"
    """Every store has the volume with its mail."""
    STORE_EMPTY = "StoreEmpty"
    """A store came back on another volume, without mail that Mailboxes had."""
    DIRECTORY_FITS = "DirectoryFits"
    """No directory shard has more than 80 % of what a Secret can hold."""
    DIRECTORY_NEARLY_FULL = "DirectoryNearlyFull"
    """A directory shard has more than 80 % of what a Secret can hold."""
    TRUSTED = "Trusted"
    """The certificate comes from a Secret and names the host."""
    SELF_SIGNED = "SelfSigned"
    """The certificate is one that the platform signed itself; no client trusts it by itself."""
    HOST_NOT_COVERED = "HostNotCovered"
    """The certificate does not name the host name of the server."""
    ADDRESSES_KEPT = "AddressesKept"
    """The Services hand the addresses of clients on to the pods."""
    ADDRESSES_HIDDEN = "AddressesHidden"
    """A node may put its own address in the place of the client's."""
    DELIVERED = "Delivered"
    """The relay host accepted the last message."""
    DELIVERY_DEFERRED = "DeliveryDeferred"
    """The relay host put the last message off, or was not reached."""
    DELIVERY_REFUSED = "DeliveryRefused"
    """The relay host refused the last message for good."""
    TLS_FAILED = "TLSFailed"
    """There was no TLS with the relay host as it is demanded, so mail waits."""
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    """The relay host did not accept the login, so mail waits."""
    LAST_GOOD = "LastGood"
    """The certificate of the Secret cannot be used, so the one before stays."""


_TAKEN: Final = frozenset({Reason.ACCEPTED, Reason.FIELD_NOT_IN_FORCE})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one object."""

    reason: Reason
    message: str
    """A sentence for people, without values of Secrets."""
    path: str = ""
    """The field it is about, such as `spec.domain`; "" for the object as a whole."""
    effective: bool = False
    """Whether any part of the object is in the configuration."""

    @property
    def accepted(self) -> bool:
        """Return whether the object is in the configuration and has no fault of its own."""
        return self.reason in _TAKEN


DELETING: Final = Verdict(Reason.DELETING, "the object is being deleted")
ACCEPTED: Final = Verdict(Reason.ACCEPTED, "All fields are part of the configuration.", effective=True)


class Verdicts(Mapping[Key, Verdict]):
    """An immutable map of verdicts; a map with few changes shares most of its memory."""

    __slots__ = ("_buckets", "_size")

    def __init__(self, buckets: tuple[Mapping[Key, Verdict], ...] | None = None) -> None:
        self._buckets = buckets if buckets is not None else ({},) * _BUCKETS
        self._size = sum(len(bucket) for bucket in self._buckets)

    @override
    def __getitem__(self, key: Key) -> Verdict:
        return self._buckets[_bucket(key)][key]

    @override
    def __iter__(self) -> Iterator[Key]:
        return (key for bucket in self._buckets for key in bucket)

    @override
    def __len__(self) -> int:
        return self._size

    @override
    def __repr__(self) -> str:
        return f"Verdicts({dict(sorted(self.items()))!r})"

    @overload
    def get(self, key: Key, /) -> Verdict | None: ...
    @overload
    def get(self, key: Key, /, default: Verdict | _T) -> Verdict | _T: ...
    @override
    def get(self, key: Key, /, default: object = None) -> object:
        return self._buckets[_bucket(key)].get(key, default)

    def succeeded(self, changes: Iterable[tuple[Key, Verdict | None]]) -> "Verdicts":
        """Return the map with changes applied; None removes an entry."""
        fresh: dict[int, dict[Key, Verdict]] = {}
        for key, verdict in changes:
            number = _bucket(key)
            bucket = fresh.setdefault(number, dict(self._buckets[number]))
            if verdict is None:
                bucket.pop(key, None)
            else:
                bucket[key] = verdict
        if not fresh:
            return self
        return Verdicts(tuple(fresh.get(number, bucket) for number, bucket in enumerate(self._buckets)))


def _bucket(key: Key) -> int:
    return crc32("\0".join(key).encode()) % _BUCKETS
