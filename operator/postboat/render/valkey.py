"""Valkey: keeps what Rspamd has learned; one instance with an append-only file.

It cannot reload its settings, so a change restarts it.
"""

from postboat.model.platform import Platform
from postboat.render import escape
from postboat.render.files import Effect, File
from postboat.render.template import fill


def files(platform: Platform) -> tuple[File, ...]:
    """Return all files of the container `valkey`."""
    password = f"requirepass {escape.valkey(platform.internal.valkey_password)}\n".encode()
    return (
        File("valkey.conf", "valkey.conf", fill("valkey.conf"), effect=Effect.RESTART),
        File("password.conf", "password.conf", password, effect=Effect.RESTART, secret=True, mode="0600"),
    )
