"""Rspamd: scans every message, adds headers, and signs what users send (DKIM, RFC 6376).

It works without the internet: lists and feeds are off by default.
"""

from collections.abc import Iterator
from typing import Final

from postboat.agent import ports
from postboat.model import names
from postboat.model.platform import Platform
from postboat.model.signing import rendered_stem
from postboat.render import escape
from postboat.render.files import Effect, File
from postboat.render.template import fill, script

FLAG: Final = 6
"""Score of Rspamd's action `add header`, from which on a message is spam."""
DENY: Final = 20
"""Score of Rspamd's action `reject`."""
_WORKERS: Final = 2
_SCRIPTS: Final = ("sign.lua", "headers.lua", "submission.lua")
_DISABLED: Final = (
    "asn",
    "fuzzy_check",
    "greylist",
    "milter_headers",
    "neural",
    "phishing",
    "ratelimit",
    "rbl",
    "rspamd_update",
)


def _own(platform: Platform) -> Iterator[tuple[str, str]]:
    """Yield the rules by which Rspamd recognises mail of the platform's own users."""
    yield "users", "authenticated = yes"
    networks = ", ".join(escape.ucl(network) for network in platform.smtp.trusted_networks)
    if networks:
        yield "trusted", f"ip = [{networks}]"


def _keys(platform: Platform) -> Iterator[File]:
    """Yield the files with selector and key of each domain that signs; `sign.lua` reads them for each message."""
    forms = sorted((names.unicode(domain.name), domain.name) for domain in platform.domains if domain.dkim is not None)
    foreign = "".join(f"{form} {name}\n" for form, name in forms if form != name)
    if foreign:
        yield File("dkim-names", "dkim/names", foreign.encode(), effect=Effect.LIVE)
    for domain in platform.domains:
        if domain.dkim is not None:
            stem = rendered_stem(domain.name)
            content = f"{domain.dkim.selector}\n".encode()
            yield File(f"{stem}.selector", f"dkim/{domain.name}/selector", content, effect=Effect.LIVE)
            key = domain.dkim.key
            yield File(f"{stem}.key", f"dkim/{domain.name}/key", key, effect=Effect.LIVE, secret=True, mode="0600")


def files(platform: Platform) -> tuple[File, ...]:
    """Return all files of the container `rspamd`."""
    conf = fill(
        "platform.conf",
        workers=_WORKERS,
        valkey=escape.ucl(f"{platform.fqdn('valkey')}:{ports.VALKEY.number}"),
        flag=FLAG,
        deny=DENY,
        disabled=_DISABLED,
        hostname=escape.ucl(platform.hostname),
        own=_own(platform),
        scripts=escape.ucl(names.SCRIPTS),
    )
    internal = platform.internal
    secrets = fill(
        "secrets.conf",
        valkey_password=escape.ucl(internal.valkey_password),
        password=escape.ucl(internal.rspamd_password),
        enable_password=escape.ucl(internal.rspamd_enable_password),
    )
    return (
        File("rspamd.conf", "rspamd.conf", fill("rspamd.conf")),
        File("platform.conf", "platform.conf", conf),
        # The name under which Rspamd looks for rules of the place.
        File("rules.lua", "rspamd.local.lua", b"\n".join(script(name) for name in _SCRIPTS)),
        File("secrets.conf", "secrets.conf", secrets, secret=True, mode="0600"),
        *_keys(platform),
    )
