"""Whatever the schema lets in, no derived name, key or path exceeds what Kubernetes, the kernel and the DNS take."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import pytest

from postboat.api import Resource
from postboat.cluster.events import LONGEST_NOTE, Notice
from postboat.model import names
from postboat.model.resolve import Resolution, resolve
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import Reason
from postboat.status.conditions import Condition, merge
from postboat.status.observation import Moment
from postboat.status.report import report
from tests.golden import world
from tests.golden.rows import table_rows

SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
DATA_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
LONGEST_FILE_NAME, LONGEST_LMDB_KEY = 255, 511


def long_domain(length: int, first: str = "a") -> str:
    """A domain of that many letters, of labels as long as they may be."""
    labels = []
    while length > 63:
        labels.append(first + "b" * 60 + "c9")
        length -= 64
    return ".".join([*labels, "d" * length])


LENGTHS = (199, 200, 201, 239, 240, 241, 244, 247, 248, 249, 252, 253)
WIDE = ".".join(["\U00020000" * 40] * 4) + ".example"
"""Four bytes a letter, and few letters in A-labels."""


@cache
def resolution() -> Resolution:
    resources = [world.resource("MailDomain", long_domain(length), {}) for length in LENGTHS]
    resources += [world.resource("MailDomain", f"x{'.' if length % 2 else '-'}{'y' * (length - 2)}", {"domain":
                  long_domain(length, "q")}) for length in LENGTHS]  # fmt: skip
    resources.append(world.resource("MailDomain", "wide", {"domain": WIDE, "unknownRecipients":
                     {"action": "Deliver", "mailbox": "x" * 64}}))  # fmt: skip
    resources.append(world.resource("Mailbox", "x" * 64, {}))
    resources.append(world.resource("MailAddress", "a" * 253, {"localPart": "l" * 64, "destinations":
                     [{"mailbox": "x" * 64}]}))  # fmt: skip
    return resolve(world.of(world.server(), resources, dict(secrets(resources))))


def secrets(resources: list[Resource]) -> Iterator[tuple[str, SecretContent]]:
    """What the controller makes: it is asked for what is lacking until nothing is."""
    known = {content.name: content for content in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
    for wanted in resolve(world.of(world.server(), resources, known)).wanted:
        data = {f"{wanted.selector}.key": world.key("dkim.key")}
        known[wanted.name] = SecretContent("mail", wanted.name, exists=True, data=data)
    return iter(known.items())


def test_the_names_of_secrets_that_are_made() -> None:
    resources = [world.resource("MailDomain", long_domain(length), {}) for length in LENGTHS]
    made = [wanted.name for wanted in resolve(world.of(world.server(), resources, {})).wanted]
    made = [name for name in made if name.endswith("-dkim")]
    assert len(set(made)) == len(made) == sum(length + len("default._domainkey.") <= 253 for length in LENGTHS)
    assert all(SUBDOMAIN.fullmatch(name) and len(name) <= 253 for name in made), made


def test_names_and_keys_of_all_objects() -> None:
    objects = world.planned(resolution()).objects
    assert len(objects) > 20
    for item in objects:
        assert SUBDOMAIN.fullmatch(item.name)
        assert len(item.name) <= 253
        for key in item.body.get("data", {}):
            assert DATA_KEY.fullmatch(key), (item.name, key)


def test_files_have_names_that_the_kernel_takes_and_no_two_the_same_key() -> None:
    files = world.planned(resolution()).files
    assert files is not None
    for of_unit in files.units.values():
        assert len({file.key for file in of_unit}) == len({file.path for file in of_unit}) == len(of_unit)
        for file in of_unit:
            assert all(len(step.encode()) <= LONGEST_FILE_NAME for step in file.path.split("/")), file.path
    keys = [file.path for file in files.units["filter"] if file.path.startswith("dkim/")]
    assert f"dkim/{long_domain(200)}/key" in keys


def test_rows_that_lmdb_takes() -> None:
    files = world.planned(resolution()).files
    assert files is not None
    rows = 0
    for (_, kind), _, row in table_rows(files.shards):
        if kind == "smtp":
            assert len(row[0].encode()) <= LONGEST_LMDB_KEY
            rows += 1
    assert rows > 2 * len(LENGTHS)


def test_a_domain_in_letters_that_no_smtp_carries_is_known_by_its_a_labels_alone() -> None:
    wide = names.domain(WIDE)
    assert wide is not None
    assert names.spellings(wide) == (wide,)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_record_that_no_dns_can_hold_is_not_asked_for(length: int) -> None:
    name = long_domain(length)
    verdict, domain = resolution().verdicts["MailDomain", name], resolution().platform.domain(name)  # type: ignore[union-attr]
    assert domain is not None, "mail to it is delivered all the same"
    if length + len("default._domainkey.") <= 253:
        assert verdict.accepted
        assert domain.dkim is not None
    else:
        assert (verdict.reason, verdict.effective, verdict.path) == (Reason.TOO_LARGE, True, "spec.dkim.selector")
        assert domain.dkim is None


def test_statuses_fit_into_their_schema() -> None:
    from postboat.api import KINDS  # noqa: PLC0415

    for name in [long_domain(length) for length in LENGTHS]:
        resource = world.resource("MailDomain", name, {})
        status = report(resource, resolution().verdicts["MailDomain", name], resolution().platform, Moment(world.NOW),
                        in_force=True)  # fmt: skip
        assert status is not None
        KINDS["MailDomain"].status_model.model_validate(status)


def test_a_message_is_cut_instead_of_being_refused_with_the_whole_status() -> None:
    condition = Condition("Ready", holds=False, reason=Reason.SYNC_FAILED, message="ü" * 5000)
    (written,) = merge((), (condition,), 1, world.NOW)
    assert len(written["message"]) == 4096
    assert written["message"].endswith("ü ...")


@pytest.mark.parametrize("name", ["a" * 199 + "-b", "a" * 198 + ".-b", "a" * 253, "a.b", "x" * 200 + ".y"])
def test_events_have_names_and_notes_that_the_server_takes(name: str) -> None:
    notice = Notice("v1", "Mailbox", "mail", name, "uid", normal=True, reason="Conflict", note="ü" * 2000)
    assert SUBDOMAIN.fullmatch(notice.event_name)
    assert len(notice.event_name) <= 253
    assert LONGEST_NOTE - 4 < len(notice.cut.encode()) <= LONGEST_NOTE


def test_shortened_names_stay_different() -> None:
    long = sorted(names.bounded(f"{'n' * 250}{number:03}", 240) for number in range(300))
    assert all(first != second for first, second in pairwise(long))
