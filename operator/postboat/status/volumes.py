"""The condition MailPresent: stores that came back on another volume, without their mail.

The status also is the memory: a new operator process reads from it which volume each store should have.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from postboat.api.resource import Resource
from postboat.model.verdict import Reason
from postboat.model.volumes import Missing, StoreVolume
from postboat.status.conditions import Condition
from postboat.status.storage import amount

ACCEPT: Final = "postboat.dev/accept-volumes"
"""Annotation of a MailServer: names of volumes that stores may use from now on, separated by commas or spaces."""
_MOST_NAMED: Final = 3


def accepts(annotations: Mapping[str, str]) -> frozenset[str]:
    """Return the names of volumes in the annotation ACCEPT.

    Args:
        annotations: The annotations of a MailServer.
    """
    return frozenset(annotations.get(ACCEPT, "").replace(",", " ").split())


def read(status: Mapping[str, Any]) -> tuple[StoreVolume, ...]:
    """Return what the status of a MailServer says about the volumes of its stores.

    Args:
        status: The status as JSON, as `written` made it.
    """
    return tuple(
        StoreVolume(
            entry["store"],
            str(entry.get("volume") or ""),
            _missing(entry["missing"]) if entry.get("missing") else None,
        )
        for entry in status.get("stores") or ()
    )


def written(volumes: Iterable[StoreVolume]) -> list[dict[str, Any]]:
    """Return `status.stores`, sorted by store."""
    return [_entry(one) for one in sorted(volumes, key=lambda one: one.store)]


def condition(server: Resource, volumes: Iterable[StoreVolume]) -> Condition | None:
    """Return the condition MailPresent of a MailServer; None until a store has reported the name of its volume."""
    known = sorted(volumes, key=lambda one: one.store)
    if not known:
        return None
    lost = [(one.store, one.missing) for one in known if one.missing is not None]
    if not lost:
        message = "Every store has the volume with its mail."
        return Condition("MailPresent", holds=True, reason=Reason.MAIL_PRESENT, message=message)
    told = [
        f"store {store} lacks {gone.messages} messages ({amount(gone.bytes)}) of {gone.mailboxes} mailboxes since"
        f" {gone.since}: restore the volume of claim mail-{server.name}-store-{store} from a backup"
        for store, gone in lost[:_MOST_NAMED]
    ]
    more = f"; and {len(lost) - _MOST_NAMED} more stores" if len(lost) > _MOST_NAMED else ""
    accept = f"{ACCEPT}={','.join(gone.volume for _, gone in lost)}"
    message = (
        f"Stores came back on another volume: {'; '.join(told)}{more}. To go on without that mail: kubectl -n"
        f" {server.namespace} annotate --overwrite msrv {server.name} {accept}"
    )
    return Condition("MailPresent", holds=False, reason=Reason.STORE_EMPTY, message=message)


def _missing(entry: Mapping[str, Any]) -> Missing:
    return Missing(
        str(entry.get("volume") or ""),
        int(entry.get("mailboxes") or 0),
        int(entry.get("messages") or 0),
        int(entry.get("bytes") or 0),
        str(entry.get("since") or ""),
    )


def _entry(one: StoreVolume) -> dict[str, Any]:
    entry: dict[str, Any] = {"store": one.store} | ({"volume": one.volume} if one.volume else {})
    if one.missing is not None:
        gone = one.missing
        entry["missing"] = {
            "volume": gone.volume,
            "mailboxes": gone.mailboxes,
            "messages": gone.messages,
            "bytes": gone.bytes,
            "since": gone.since,
        }
    return entry
