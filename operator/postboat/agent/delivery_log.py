"""The last deliveries through each relay host, read from the log of Postfix as it is written.

Each relay host has a transport of its own, whose processes log as `postfix/rh-NAME/smtp`. Of each transport the last
accepted, deferred and refused delivery is kept, so that no record for each message is needed.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from postboat.agent.deliveries import LONGEST, UNVALIDATED, Delivery

log = logging.getLogger(__name__)

_RESULTS = {b"sent": "accepted", b"deferred": "deferred", b"bounced": "refused", b"expired": "refused"}
_TO = rb'<(?:"(?:[^"\\]|\\.)*"|[^">])*>'  # whoever writes to somebody chooses the quoted part of an address
_LINE = re.compile(
    rb"postfix/(?P<process>(?P<transport>rh-[a-z0-9.-]+)/smtp\[\d+\]): \w+: to="
    + _TO
    + rb", (?:orig_to="
    + _TO
    + rb", )?"
    rb"relay=[^ ,]+, (?:conn_use=\d+, )?delay=[0-9.]+, delays=[0-9./]+, dsn=(?P<code>[245]\.\d+\.\d+), "
    rb"status=(?P<status>sent|deferred|bounced|expired) \((?P<text>.*)\)$"
)
_WARNING = re.compile(rb"postfix/(?P<process>rh-[a-z0-9.-]+/smtp\[\d+\]): warning: " + UNVALIDATED.encode() + rb"$")
_ADDRESS = re.compile(r'<[^<>]*@[^<>]*>|(?:"[^"]*"|[^\s<>()\[\]"@]+)@[^\s<>()\[\],;]+')
_READ = 2000  # characters of an answer that are looked at
MOST = 200
"""Transports that are kept: twice as many as there may be relay hosts."""
_NO_RECORDS = "no TLSA records found"
"""What Postfix says of a host without TLSA records, and of every host while its resolver does not validate."""
_LONGEST_LINE = 65536


class DeliveryLog:
    """The last deliveries through all relay hosts; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, dict[str, Delivery]] = {}
        self._unvalidated: dict[bytes, None] = {}

    def note(self, line: bytes) -> None:
        """Record one line of the log, if it is about a delivery through a relay host; other lines are ignored.

        A process says once that its resolver does not validate, before the first message that waits for it.

        Args:
            line: Bytes without the line end.
        """
        if b"postfix/rh-" not in line:
            return
        if warning := _WARNING.search(line):
            self._unvalidated[warning["process"]] = None
            _forget_first(self._unvalidated)
        match = _LINE.search(line)
        if match is None:
            return
        text = _ADDRESS.sub("<address>", match["text"].decode(errors="replace")[:_READ])[:LONGEST]
        if text == _NO_RECORDS and match["process"] in self._unvalidated:
            text = f"{text}; {UNVALIDATED}"
        delivery = Delivery(int(time.time()), match["code"].decode(), text)
        with self._lock:
            transport = match["transport"].decode()
            found = self._last.pop(transport, {})
            self._last[transport] = found | {_RESULTS[match["status"]]: delivery}
            _forget_first(self._last)

    def page(self) -> bytes:
        """Return the deliveries by transport as JSON: `{"rh-NAME": {"accepted": {"at", "code", "text"}, ...}}`."""
        with self._lock:
            told = {
                transport: {outcome: asdict(delivery) for outcome, delivery in found.items()}
                for transport, found in self._last.items()
            }
        return json.dumps(told, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _forget_first(remembered: dict[Any, Any]) -> None:
    while len(remembered) > MOST:
        del remembered[next(iter(remembered))]


def passing_on(source: int, sink: int, deliveries: DeliveryLog) -> None:
    """Copy what Postfix logs to another descriptor until it ends, and record the deliveries in it. It blocks.

    The lines are written before they are parsed, so that no line can stop the log.

    Args:
        source: File descriptor to read from.
        sink: File descriptor to write to; what cannot be written is lost.
    """
    rest = b""
    while chunk := os.read(source, 65536):
        with suppress(OSError):  # what cannot be passed on is lost, and Postfix goes on
            view = memoryview(chunk)
            while view:
                view = view[os.write(sink, view) :]
        try:
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-_LONGEST_LINE:]
            for line in lines:
                deliveries.note(line)
        except Exception:  # the log goes on whatever one line holds
            log.exception("parsing a line of the Postfix log failed")
            rest = b""
