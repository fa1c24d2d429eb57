"""DKIM signatures, verified against the record that the status of a domain tells people to publish."""

from __future__ import annotations

import dkim

from e2e.kube import GROUP
from e2e.platform import Platform


def verified(platform: Platform, domain: str, message: bytes) -> bool:
    """Whether the signature of a domain on a message holds."""
    found = platform.kube.get(GROUP, "MailDomain", platform.namespace, domain)
    assert found is not None
    shown = found["status"]["dkim"]
    zone = {f"{shown['selector']}._domainkey.{domain}.".encode(): shown["record"].encode()}
    return bool(dkim.verify(message, dnsfunc=lambda name, timeout=5: zone.get(name)))  # noqa: ARG005
