"""Sessions that only stand about: whoever holds many leaves room for others."""

from __future__ import annotations

import smtplib
import socket
import time
from contextlib import ExitStack

import pytest

from e2e.clients import Account, letter, wait_for_message
from e2e.platform import Platform
from e2e.world import World

MANY = 60
"""Sessions that a stranger opens from one address; two addresses would take all hundred processes of the default."""


@pytest.mark.row("P1")
@pytest.mark.parametrize("port", [25, 587])
def test_idle_sessions_of_strangers_leave_room_for_others(
    platform: Platform, world: World, alice: Account, bob: Account, port: int
) -> None:
    service = platform.service_address("mail-smtp")
    message = letter("alice@example.test", "bob@example.test")
    with ExitStack() as open_sessions:
        for place in (world.outside, world.trusted):
            greetings = []
            with place.entered():
                sessions = [socket.create_connection((service, port), timeout=20) for _ in range(MANY)]
            for session in sessions:
                open_sessions.enter_context(session)
                greetings.append(session.recv(4))
            taken = greetings.count(b"220 ")
            assert 10 <= taken < MANY, "one client has some sessions, and not as many as it likes"
            assert greetings.count(b"421 ") == MANY - taken
        before = time.monotonic()
        with alice.submission(port) if port == 587 else platform.smtp() as client:
            client.send_message(message)
        assert time.monotonic() - before < 5
    wait_for_message(bob, message["Message-ID"])


@pytest.mark.row("P1")
def test_a_client_that_was_sent_away_comes_again(platform: Platform, world: World) -> None:
    service = platform.service_address("mail-smtp")
    with ExitStack() as open_sessions, world.outside.entered():
        for _ in range(MANY):
            session = open_sessions.enter_context(socket.create_connection((service, 25), timeout=20))
            session.recv(4)
    with world.outside.entered():
        client = smtplib.SMTP(service, 25, timeout=20)
    with client:
        assert client.noop()[0] == 250
