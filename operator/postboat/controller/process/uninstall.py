"""The pre-delete hook of the chart: removes the finalizer from all Mailboxes, since no operator will be left to do it.

It holds the Lease while it runs and for 30 s after, so that no operator adds a finalizer again.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

from postboat import telemetry
from postboat.cluster.client import Client
from postboat.cluster.connection import Connection
from postboat.cluster.lease import Terms
from postboat.cluster.types import LEASE, ConflictError, Json, Key, NotFoundError
from postboat.controller.mailstore.finalizers import set_finalizer
from postboat.controller.watch.informers import RESOURCES
from postboat.model.retention.reclaim import FINALIZER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postboat.settings import Settings

log = logging.getLogger(__name__)

HOLDER = "uninstall"
"""`holderIdentity` in the Lease."""
KEPT = 30
"""Seconds that the Lease is held after the last renewal; if the operator is not uninstalled, it goes on then."""
RENEWED = 10.0
"""Seconds between two renewals of the Lease."""
WRITERS = 12
"""Mailboxes that are written at the same time."""
PAGE = 500
"""Mailboxes between two checks of the Lease."""
ATTEMPTS = 20
"""Attempts for one object, while others change it."""


def run(settings: Settings, connection: Connection | None = None, *, settle: float = Terms().deadline) -> int:
    """Remove the finalizer from every Mailbox. It blocks.

    Args:
        settings: From the environment.
        connection: None makes one from the settings.
        settle: Seconds to wait after the Lease was taken: a former holder may write until then.

    Returns:
        Exit status: 1 when a Mailbox still has the finalizer, else 0.

    Raises:
        ApiError: The API server refused a request.
        ConnectionFailedError: The API server did not answer.
    """
    telemetry.configure_logging(settings.log_level, settings.log_format)
    client = Client(connection or Connection(settings.kubeconfig, settings.api_server))
    if take_lease(client, settings):
        time.sleep(settle)  # until then, whoever held the Lease may still believe that it does
    left, renewed = 0, time.monotonic()
    with ThreadPoolExecutor(WRITERS, thread_name_prefix="release") as pool:
        held = _with_finalizer(client, settings)
        while page := list(islice(held, PAGE)):
            left += sum(not gone for gone in pool.map(lambda raw: remove_finalizer(client, raw), page))
            if time.monotonic() - renewed > RENEWED:
                renewed = time.monotonic()
                take_lease(client, settings)
    take_lease(client, settings)
    log.info("Mailboxes that still have the finalizer: %d", left)
    return int(left > 0)


def _with_finalizer(client: Client, settings: Settings) -> Iterator[Json]:
    """Yield the Mailboxes with the finalizer."""
    for namespace in settings.namespaces or ("",):
        for raw in client.pages(RESOURCES["Mailbox"], namespace):
            if FINALIZER in (raw["metadata"].get("finalizers") or ()):
                yield raw


def take_lease(client: Client, settings: Settings) -> bool:
    """Take the Lease from its holder.

    Returns:
        False when there is no Lease, so that no operator has ever run.

    Raises:
        ConflictError: Another process wrote the Lease during each of 20 attempts.
    """
    path = LEASE.path(settings.operator_namespace, settings.lease_name)
    for _ in range(ATTEMPTS):
        try:
            lease = client.lease_read(path, timeout=5)
            moment = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            lease["spec"] = {
                "holderIdentity": HOLDER,
                "leaseDurationSeconds": KEPT,
                "acquireTime": moment,
                "renewTime": moment,
                "leaseTransitions": int((lease.get("spec") or {}).get("leaseTransitions") or 0) + 1,
            }
            client.lease_write("PUT", path, lease, timeout=5)
        except NotFoundError:
            return False
        except ConflictError:
            continue
        else:
            return True
    raise ConflictError(409, "Conflict", "the Lease is written again and again")


def remove_finalizer(client: Client, raw: Json) -> bool:
    """Remove the finalizer from one Mailbox; return whether it is gone.

    Args:
        raw: The Mailbox as JSON.
    """
    key = Key(raw["metadata"]["namespace"], raw["metadata"]["name"])
    return any(set_finalizer(client, key, raw["metadata"]["uid"], wanted=False) for _ in range(ATTEMPTS))
