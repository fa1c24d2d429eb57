"""The rights in public mailboxes: what is declared is there at once, and mail without a mailbox is closed."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from postboat.agent.acl import AclDriver
from postboat.agent.errors import ActivationError
from postboat.agent.manifest import Table
from postboat.agent.tables import Directory

if TYPE_CHECKING:
    from pathlib import Path

RIGHTS = Table("rights", "acl", ("mailbox", "owners"))


def shard(*lines: str) -> dict[str, bytes]:
    return {"00": gzip.compress("".join(f"{line}\n" for line in sorted(lines)).encode(), mtime=0)}


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    return tmp_path / "mail"


@pytest.fixture
def directory(tmp_path: Path, mail: Path) -> Directory:
    return Directory({"acl": AclDriver(tmp_path / "tables", mail, keeps_mail=True)})


def rights(tmp_path: Path, name: str = "public.acl") -> list[str]:
    return (tmp_path / "tables" / name).read_text().splitlines()


def test_owners_have_their_rights_in_the_mailbox_and_below(tmp_path: Path, directory: Directory) -> None:
    directory.apply((RIGHTS,), shard("rights\toffers\tgroup=sales:lrs:lrs,user=jane:lra:lrax"))
    assert rights(tmp_path) == [
        "Public/offers group=sales lrs",
        "Public/offers/* group=sales lrs",
        "Public/offers user=jane lra",
        "Public/offers/* user=jane lrax",
    ]


def test_visitors_see_no_prefix_and_nothing_else(tmp_path: Path, directory: Directory) -> None:
    directory.apply((RIGHTS,), shard("rights\toffers\tuser=jane:lr:lr"))
    assert rights(tmp_path, "visitors.acl") == [
        "offers user=jane lr",
        "offers/* user=jane lr",
        "INBOX anyone",
        ".own anyone",
        ".own/* anyone",
    ]


def test_without_a_mailbox_there_is_an_empty_file(tmp_path: Path, directory: Directory) -> None:
    directory.apply((RIGHTS,), {})
    assert rights(tmp_path) == []


def test_an_owner_that_is_removed_has_no_right(tmp_path: Path, directory: Directory) -> None:
    directory.apply((RIGHTS,), shard("rights\toffers\tgroup=sales:lrs:lrs,user=jane:lr:lr"))
    directory.apply((RIGHTS,), shard("rights\toffers\tuser=jane:lr:lr"))
    assert not [line for line in rights(tmp_path) if "sales" in line]
    assert [line for line in rights(tmp_path) if "jane" in line]


def test_the_folder_of_a_mailbox_is_there_before_its_first_mail(mail: Path, directory: Directory) -> None:
    directory.apply((RIGHTS,), shard("rights\toffers\t"))
    assert {path.name for path in (mail / "offers").iterdir()} == {"cur", "new", "tmp"}


def test_other_stores_make_no_folder(tmp_path: Path, mail: Path) -> None:
    directory = Directory({"acl": AclDriver(tmp_path / "tables", mail, keeps_mail=False)})
    directory.apply((RIGHTS,), shard("rights\toffers\tuser=jane:lr:lr"))
    assert not mail.exists()
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
    assert rights(tmp_path) == ["Public/offers user=jane lr", "Public/offers/* user=jane lr"]
    assert (mail / "offers" / "new" / "1.mail").read_text() == "kept"


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
