"""Limits: the longest names that the schema lets in harm nobody else, and are served as far as the DNS can."""

from __future__ import annotations

import dkim
import pytest

from e2e.clients import Account, letter, wait_for_message
from e2e.kube import GROUP
from e2e.platform import Platform, manifest


def long_domain(length: int) -> str:
    """A domain of that many letters, of labels as long as they may be."""
    labels = []
    while length > 63:
        labels.append("a" + "b" * 60 + "c9")
        length -= 64
    return ".".join([*labels, "d" * length])


@pytest.mark.row("B3")
@pytest.mark.row("D8")
def test_domains_of_any_length_are_served_and_hold_up_no_other(platform: Platform, alice: Account) -> None:
    signed, unsigned = long_domain(233), [long_domain(length) for length in (235, 240, 241, 248, 249, 253)]
    name = platform.namespace
    try:
        platform.kube.apply(*(manifest("MailDomain", name, domain, {"delivery": "Local"}) for domain in unsigned))
        for domain in unsigned:
            refusal = platform.kube.wait_condition("MailDomain", name, domain, "Accepted", "False")
            assert refusal["reason"] == "TooLarge"
            assert "spec.dkim.selector" in refusal["message"]
            assert platform.answer(f"alice@{domain}") == 250
        platform.kube.apply(manifest("MailDomain", name, signed, {"delivery": "Local"}))
        platform.kube.apply(manifest("MailDomain", name, "short.test", {"delivery": "Local"}))
        for domain in (signed, "short.test"):
            platform.kube.wait_condition("MailDomain", name, domain, "Ready")
            message = letter(f"alice@{domain}", f"alice@{domain}")
            with alice.submission() as session:
                session.send_message(message)
            stored = wait_for_message(alice, message["Message-ID"])
            shown = platform.kube.get(GROUP, "MailDomain", name, domain)
            assert shown is not None
            record = shown["status"]["dkim"]
            zone = {f"{record['name']}.".encode(): record["record"].encode()}
            assert dkim.verify(stored, dnsfunc=lambda asked, timeout=5, zone=zone: zone.get(asked))  # noqa: ARG005
    finally:
        for domain in (*unsigned, signed, "short.test"):
            platform.kube.delete(GROUP, "MailDomain", name, domain)
