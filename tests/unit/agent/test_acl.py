"""The rights in public mailboxes: what is declared is there at once, and mail without a mailbox is closed."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from postboat.agent import acl
from postboat.agent.acl import AclDriver
from postboat.agent.errors import ActivationError
from postboat.agent.mailstore.folders import public, public_homes
from postboat.agent.manifest import Table
from postboat.agent.tables import Directory

if TYPE_CHECKING:
    from pathlib import Path

RIGHTS = Table("rights", "acl", ("mailbox", "owners"))


def shard(*lines: str) -> dict[str, bytes]:
    return {"00": gzip.compress("".join(f"{line}\n" for line in sorted(lines)).encode(), mtime=0)}


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    return public(tmp_path / "mail")


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory({"acl": AclDriver(tmp_path / "tables", tmp_path / "mail", keeps_mail=True)})


def rights(tmp_path: Path, name: str = "public.acl") -> list[str]:
    """All rules but those that come before all others."""
    first, second, *others = (tmp_path / "tables" / name).read_text().splitlines()
    return others if name == "public.acl" else [first, second, *others]


def made(mail: Path, name: str, given: str = "user=jane lrswtipekxa\n") -> Path:
    """A mailbox as Dovecot makes it for a client."""
    (mail / name / "cur").mkdir(parents=True)
    (mail / name / "dovecot-acl").write_text(given)
    return mail / name


def test_owners_have_their_rights_in_the_mailbox_and_below(tmp_path: Path, directory: Directory) -> None:
    directory.apply((RIGHTS,), shard("rights\toffers\tgroup=sales:lrs:lrs,user=jane:lra:lrax"))
    assert rights(tmp_path) == [
        "Public/offers -authenticated x",
        "Public/offers group=sales lrs",
        "Public/offers/* group=sales lrs",
        "Public/offers user=jane lra",
        "Public/offers/* user=jane lrax",
    ]


def test_visitors_see_no_prefix_and_nothing_else(tmp_path: Path, directory: Directory) -> None:
    directory.apply((RIGHTS,), shard("rights\toffers\tuser=jane:lr:lr"))
    assert rights(tmp_path, "visitors.acl") == [
        "INBOX anyone",
        ".own anyone",
        ".own/* anyone",
        "offers -authenticated x",
        "offers user=jane lr",
        "offers/* user=jane lr",
    ]


def test_rights_at_the_root_are_none_in_mailboxes_and_only_good_for_making_some(
    tmp_path: Path, directory: Directory
) -> None:
    directory.apply((RIGHTS,), {})
    content = (tmp_path / "tables" / "public.acl").read_text()
    assert content.splitlines() == ["Public -authenticated lrwstipexa", "Public/* -anyone"]


def test_an_owner_that_is_removed_has_no_right(tmp_path: Path, directory: Directory) -> None:
    directory.apply((RIGHTS,), shard("rights\toffers\tgroup=sales:lrs:lrs,user=jane:lr:lr"))
    directory.apply((RIGHTS,), shard("rights\toffers\tuser=jane:lr:lr"))
    assert not [line for line in rights(tmp_path) if "sales" in line]
    assert [line for line in rights(tmp_path) if "jane" in line]


def test_the_folder_of_a_mailbox_is_there_before_its_first_mail(mail: Path, directory: Directory) -> None:
    directory.apply((RIGHTS,), shard("rights\toffers\t"))
    assert {path.name for path in (mail / "offers").iterdir()} == {"cur", "dovecot-acl", "new", "tmp"}


def test_no_client_can_take_the_place_of_a_file_of_dovecot(mail: Path, directory: Directory) -> None:
    directory.apply((RIGHTS,), {})
    assert {"dovecot-acl", "dovecot-acl-list", "dovecot-uidvalidity"} <= {
        path.name for path in mail.iterdir() if path.is_file()
    }
    (mail / "dovecot-acl-list").write_text("of Dovecot")
    directory.apply((RIGHTS,), shard("rights\toffers\t"))
    assert (mail / "dovecot-acl-list").read_text() == "of Dovecot"


def test_other_stores_make_no_folder(tmp_path: Path) -> None:
    directory = Directory({"acl": AclDriver(tmp_path / "tables", tmp_path / "mail", keeps_mail=False)})
    directory.apply((RIGHTS,), shard("rights\toffers\tuser=jane:lr:lr"))
    assert not (tmp_path / "mail").exists()
    assert rights(tmp_path)


def test_mail_without_a_mailbox_is_closed_to_everybody_and_stays(
    tmp_path: Path, mail: Path, directory: Directory
) -> None:
    directory.apply((RIGHTS,), shard("rights\toffers\tuser=jane:lr:lr"))
    (mail / "offers" / "new" / "1.mail").write_text("kept")
    directory.apply((RIGHTS,), {})
    assert rights(tmp_path) == ['"Public/offers" anyone', '"Public/offers/*" anyone']
    assert '"offers" anyone' in rights(tmp_path, "visitors.acl")
    directory.apply((RIGHTS,), shard("rights\toffers\tuser=jane:lr:lr"))
    assert rights(tmp_path)[1:] == ["Public/offers user=jane lr", "Public/offers/* user=jane lr"]
    assert (mail / "offers" / "new" / "1.mail").read_text() == "kept"


def test_what_a_client_made_stays_open_until_it_is_declared_and_gone(
    tmp_path: Path, mail: Path, directory: Directory
) -> None:
    theirs = made(mail, "theirs")
    directory.apply((RIGHTS,), shard("rights\toffers\tuser=jane:lr:lr"))
    assert not [line for line in rights(tmp_path) if "theirs" in line]
    directory.apply((RIGHTS,), shard("rights\ttheirs\tuser=jane:lr:lr"))
    assert "Public/theirs -authenticated x" in rights(tmp_path), "who made it may not remove it any more"
    assert (theirs / "dovecot-acl").read_text() == "user=jane lrswtipekxa\n"
    directory.apply((RIGHTS,), {})
    assert '"Public/theirs" anyone' in rights(tmp_path)


@pytest.mark.parametrize("given", ["", None], ids=["taken back", "never given"])
def test_mail_that_nobody_has_a_right_to_is_kept_like_that_of_a_deleted_mailbox(
    tmp_path: Path, mail: Path, directory: Directory, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    lost = made(mail, "lost", given or "")
    if given is None:
        (lost / "dovecot-acl").unlink()
    (mail / "parent" / "below" / "cur").mkdir(parents=True)
    directory.apply((RIGHTS,), {})
    assert not (public_homes(tmp_path / "mail") / "lost").exists(), "it may be in the making"
    monkeypatch.setattr(acl, "_MOMENT", -1.0)
    directory.apply((RIGHTS,), shard("rights\toffers\tuser=jane:lr:lr"))
    assert {path.name for path in public_homes(tmp_path / "mail").iterdir()} == {"lost", "offers"}
    assert '"Public/lost" anyone' in rights(tmp_path)


def test_each_change_has_a_later_time(tmp_path: Path, directory: Directory) -> None:
    times = []
    for number in range(3):
        directory.apply((RIGHTS,), shard(f"rights\toffers\tuser=jane{number}:lr:lr"))
        times.append(int((tmp_path / "tables" / "public.acl").stat().st_mtime))
    assert times == sorted(set(times))


def test_a_row_that_is_not_understood_changes_nothing(tmp_path: Path, directory: Directory) -> None:
    directory.apply((RIGHTS,), shard("rights\toffers\tuser=jane:lr:lr"))
    before = rights(tmp_path)
    with pytest.raises(ActivationError):
        directory.apply((RIGHTS,), shard("rights\toffers\tuser=jane"))
    assert rights(tmp_path) == before


def test_a_mailbox_that_cannot_be_made_keeps_no_other_from_its_rights(tmp_path: Path) -> None:
    public(tmp_path).mkdir(parents=True)
    (public(tmp_path) / "broken").write_text("something is in the way")
    driver = AclDriver(tmp_path / "tables", tmp_path, keeps_mail=True)
    driver.rebuild({RIGHTS: [("broken", "user=anna:lrs:lrs"), ("offers", "user=anna:lrs:lrs")]})
    assert (public(tmp_path) / "offers" / "cur").is_dir()
    assert "Public/offers user=anna lrs" in (tmp_path / "tables" / "public.acl").read_text()
