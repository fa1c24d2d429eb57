"""Rspamd: judges every message, adds what it found, and signs what users send.

It works without the internet: lists and feeds are switched on by policies, not by default.
"""

from typing import Final

from postboat.model.platform import Platform
from postboat.render import escape
from postboat.render.files import Effect, File
from postboat.render.template import ACTIVE, fill

FLAG: Final = 6
DENY: Final = 20
_WORKERS: Final = 2
_DISABLED: Final = ("asn", "fuzzy_check", "greylist", "neural", "phishing", "ratelimit", "rbl", "rspamd_update")


def _maps(platform: Platform) -> tuple[File, ...]:
    signed = [(domain, domain.dkim) for domain in platform.domains if domain.dkim is not None]
    selectors = "".join(f"{domain.name} {dkim.selector}\n" for domain, dkim in signed)
    paths = "".join(f"{domain.name} {ACTIVE}/dkim/{domain.name}.key\n" for domain, _ in signed)
    keys = (
        File(
            f"dkim-{domain.name}.key",
            f"dkim/{domain.name}.key",
            dkim.key,
            effect=Effect.LIVE,
            secret=True,
            mode="0600",
        )
        for domain, dkim in signed
    )
    return (
        # Rspamd looks at its maps again only after a while: a reload makes a new domain signed when it is said to be.
        File("dkim-selectors.map", "maps/dkim-selectors.map", selectors.encode(), effect=Effect.RELOAD),
        File("dkim-paths.map", "maps/dkim-paths.map", paths.encode(), effect=Effect.RELOAD),
        *keys,
    )


def files(platform: Platform) -> tuple[File, ...]:
    """Render everything that the container `rspamd` reads."""
    conf = fill(
        "platform.conf",
        workers=_WORKERS,
        valkey=escape.ucl(f"{platform.fqdn('valkey')}:6379"),
        flag=FLAG,
        deny=DENY,
        selectors=escape.ucl(f"{ACTIVE}/maps/dkim-selectors.map"),
        paths=escape.ucl(f"{ACTIVE}/maps/dkim-paths.map"),
        disabled=_DISABLED,
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
        File("secrets.conf", "secrets.conf", secrets, secret=True, mode="0600"),
        *_maps(platform),
    )
