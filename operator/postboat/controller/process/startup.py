"""Runs the process on kopf: start, stop, login and signals. Objects come from the operator's own informers.

kopf's watches, finalizers and peering are off; docs/decisions/0001-one-reflector.md has the measurements.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from typing import TYPE_CHECKING, Any

import kopf

from postboat import telemetry
from postboat.controller.process.health import serve
from postboat.controller.process.manager import Operator

if TYPE_CHECKING:
    from postboat.settings import Settings

log = logging.getLogger(__name__)

LOGIN_COUNTS_FOR = dt.timedelta(minutes=10)
"""After this time kopf logs in again."""


def run(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT. It blocks."""
    telemetry.configure_logging(settings.log_level, settings.log_format)
    operator = Operator(settings)
    asyncio.run(
        kopf.operator(
            registry=registry(operator),
            settings=configured(),
            standalone=True,
            clusterwide=not settings.namespaces,
            namespaces=list(settings.namespaces),
        )
    )


def configured() -> kopf.OperatorSettings:
    """Return the settings of kopf, which only hosts the process."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = [0.2, 0.5, 1, 2, 5, 10, 20]
    settings.process.ultimate_exiting_timeout = 15
    return settings


def registry(operator: Operator) -> kopf.OperatorRegistry:
    """Return a registry with the handlers of kopf: login, start, stop."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(**_: Any) -> kopf.ConnectionInfo:  # noqa: ANN401 - kopf's protocol
        return connection_info(operator)

    @kopf.on.startup(registry=handlers)
    async def start(**_: Any) -> None:  # noqa: ANN401 - kopf's protocol
        begin(operator)

    @kopf.on.cleanup(registry=handlers)
    async def clean_up(**_: Any) -> None:  # noqa: ANN401 - kopf's protocol
        await asyncio.to_thread(operator.stop)

    return handlers


def connection_info(operator: Operator) -> kopf.ConnectionInfo:
    """Return the login of the operator's own client for kopf.

    With a new expiration kopf accepts an unchanged token again after a 401.
    """
    operator.connection.reread()
    known = operator.connection.credentials()
    return kopf.ConnectionInfo(
        server=known.server,
        ca_path=known.ca_path,
        insecure=known.insecure,
        token=known.token,
        scheme="Bearer" if known.token else None,
        certificate_path=known.certificate_path,
        private_key_path=known.private_key_path,
        expiration=dt.datetime.now(dt.UTC) + LOGIN_COUNTS_FOR,
    )


def begin(operator: Operator) -> None:
    """Start the HTTP servers and all threads; kopf's event loop must be running, which gets a heartbeat."""
    settings = operator.settings
    serve(operator.health, sorted({settings.probe_port, settings.metrics_port} - {0}))  # 0 is no port
    operator.start()
    turned = [time.monotonic()]
    operator.health.beats["kopf"] = lambda: turned[0]

    async def turn() -> None:
        while True:
            turned[0] = time.monotonic()
            await asyncio.sleep(5)

    turning = asyncio.get_running_loop().create_task(turn(), name="heartbeat")
    operator.kept.append(turning)
    log.info("started", extra={"namespaces": ",".join(settings.namespaces) or "all"})
