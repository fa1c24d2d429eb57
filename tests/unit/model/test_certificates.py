"""A broken certificate never replaces a good one."""

from dataclasses import replace
from datetime import timedelta

import pytest

from postboat.model.platform import CertificateSource, WantedKind
from postboat.model.resolve import Resolution, resolve
from postboat.model.snapshot import SecretContent, Snapshot
from postboat.model.verdict import Reason
from postboat.objects.plan import plan
from tests.golden import world

SERVER = ("MailServer", "mail")


def _snapshot(chain: bytes | None, key: bytes | None, applied: bytes | None = None) -> Snapshot:
    secrets = {item.name: item for item in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
    data = {name: content for name, content in (("tls.crt", chain), ("tls.key", key)) if content is not None}
    if data:
        secrets["public"] = SecretContent("mail", "public", exists=True, data=data, type="kubernetes.io/tls")
    if applied is not None:
        secrets["mail-smtp"] = SecretContent("mail", "mail-smtp", exists=True, data={"tls.pem": applied})
    return world.of(world.server(tls={"secretName": "public"}), (), secrets)


def _source(resolution: Resolution) -> CertificateSource:
    assert resolution.platform is not None
    return resolution.platform.certificate.source


def test_a_good_certificate_is_taken() -> None:
    resolution = resolve(_snapshot(world.key("renewed.crt"), world.key("renewed.key")))
    assert _source(resolution) is CertificateSource.SECRET
    assert resolution.verdicts[SERVER].accepted


@pytest.mark.parametrize(
    ("chain", "key", "reason"),
    [
        (None, None, Reason.SECRET_NOT_FOUND),
        (world.key("renewed.crt"), None, Reason.SECRET_KEY_NOT_FOUND),
        (b"nothing", world.key("renewed.key"), Reason.INVALID_SECRET),
        (world.key("renewed.crt"), b"nothing", Reason.INVALID_SECRET),
        (world.key("renewed.crt"), world.key("tls.key"), Reason.INVALID_SECRET),
        (world.key("expired.crt"), world.key("expired.key"), Reason.INVALID_SECRET),
    ],
)
def test_a_broken_one_is_refused_and_the_last_good_one_stays(
    chain: bytes | None, key: bytes | None, reason: Reason
) -> None:
    good = plan(resolve(_snapshot(world.key("renewed.crt"), world.key("renewed.key"))))
    assert good.files is not None
    applied = next(file.content for file in good.files.units["smtp"] if file.key == "tls.pem")
    resolution = resolve(_snapshot(chain, key, applied))
    assert resolution.verdicts[SERVER].reason is reason
    assert resolution.verdicts[SERVER].effective
    assert _source(resolution) is CertificateSource.LAST_GOOD
    kept = plan(resolution)
    assert kept.files is not None
    assert kept.files.units == good.files.units


def test_without_any_good_one_a_self_signed_one_stands_in() -> None:
    resolution = resolve(_snapshot(b"nothing", b"nothing"))
    assert _source(resolution) is CertificateSource.SELF_SIGNED
    assert not resolution.verdicts[SERVER].accepted


def test_keys_of_our_own_are_wanted_before_they_end() -> None:
    snapshot = _snapshot(world.key("renewed.crt"), world.key("renewed.key"))
    assert resolve(snapshot).wanted == ()
    late = replace(snapshot, now=world.NOW + timedelta(days=36465))
    wanted = resolve(late).wanted
    assert [item.kind for item in wanted] == [WantedKind.INTERNAL]
    assert "ends soon" in wanted[0].why


def test_another_host_name_wants_another_self_signed_certificate() -> None:
    secrets = {item.name: item for item in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
    resolution = resolve(world.of(world.server("other.example.org"), (), secrets))
    assert [(item.kind, item.hosts) for item in resolution.wanted] == [(WantedKind.SELF_SIGNED, ("other.example.org",))]
    assert resolution.platform is not None


def test_without_keys_there_is_no_platform_and_nothing_to_prune() -> None:
    planned = plan(resolve(world.of(world.server(), (), {})))
    assert not planned.complete
    assert planned.objects == ()
    assert {item.kind for item in planned.wanted} == {WantedKind.INTERNAL, WantedKind.SELF_SIGNED}
