"""Metrics and logs of the operator: Prometheus series, and one JSON object for each log line.

No content of a Secret is ever in either of them.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import sys
import traceback

from prometheus_client import Counter, Gauge, Histogram
from typing_extensions import override

RECONCILES = Counter("postboat_reconcile_operations_total", "Reconciles of one MailServer.", ["namespace", "name"])
RECONCILE_ERRORS = Counter("postboat_reconcile_errors_total", "Reconciles that failed.", ["namespace", "name"])
RECONCILE_SECONDS = Histogram(
    "postboat_reconcile_duration_seconds",
    "Time from snapshot to applied objects.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
IN_FORCE_SECONDS = Histogram(
    "postboat_in_force_seconds",
    "Time from a plan to the moment when every agent has it in force.",
    buckets=(0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60),
)
LAST_SUCCESS = Gauge(
    "postboat_last_success_timestamp_seconds", "When a reconcile last succeeded.", ["namespace", "name"]
)
APPLIES = Counter("postboat_applied_objects_total", "Objects sent by server-side apply.", ["kind"])
PRUNES = Counter("postboat_pruned_objects_total", "Objects deleted because no plan has them.", ["kind"])
STATUS_WRITES = Counter("postboat_status_update_operations_total", "Statuses written.", ["kind"])
STATUS_ERRORS = Counter("postboat_status_update_errors_total", "Statuses that could not be written.", ["kind"])
QUEUE_DEPTH = Gauge("postboat_queue_depth", "MailServers that wait for a reconcile.")
STATUS_QUEUE_DEPTH = Gauge("postboat_status_queue_depth", "Statuses that wait to be written.")
AGENTS_BEHIND = Gauge(
    "postboat_containers_behind", "Containers without the newest configuration in force.", ["namespace", "name"]
)
OBJECTS = Gauge("postboat_objects", "Objects known, by kind.", ["kind"])
RELISTS = Gauge("postboat_watch_lists", "Complete lists read since the start, by type.", ["type"])
WATCH_FAILURES = Gauge("postboat_watch_failures", "Interruptions of a watch since the start, by type.", ["type"])
LARGEST_SHARD = Gauge(
    "postboat_largest_shard_bytes",
    "Bytes of the largest directory shard; a Secret holds 1048576.",
    ["namespace", "name"],
)
MEMORY = Gauge("postboat_memory_bytes", "Memory of the operator's container without files that can be dropped.")
MEMORY_LIMIT = Gauge("postboat_memory_limit_bytes", "Memory that the operator's container may use; 0 is no limit.")
LEADER = Gauge("postboat_leader", "1 while this process holds the Lease.")

_OF_ONE_SERVER = (RECONCILES, RECONCILE_ERRORS, LAST_SUCCESS, AGENTS_BEHIND, LARGEST_SHARD)


def forget(namespace: str, name: str) -> None:
    """Remove the series of a MailServer that was deleted, so that no alert about it stays."""
    for metric in _OF_ONE_SERVER:
        with contextlib.suppress(KeyError):
            metric.remove(namespace, name)


_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "settings"}


class JsonFormatter(logging.Formatter):
    """Formats a log record as one line of JSON."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        moment = dt.datetime.fromtimestamp(record.created, dt.UTC)
        line: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {
            name: value
            for name, value in record.__dict__.items()
            if name not in _STANDARD and isinstance(value, (str, int, float, bool))
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def configure_logging(level: str, style: str) -> None:
    """Send all logs to stderr.

    Args:
        level: Name of a level of the module logging, in upper case.
        style: `json` for JSON; anything else for plain text.
    """
    handler = logging.StreamHandler(sys.stderr)
    if style == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("urllib3", "kubernetes", "asyncio", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
