"""Folders: names as clients and migrations bring them, a foreign client, and folders of people who do not exist."""

from __future__ import annotations

import re
import secrets
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from e2e.cases.test_logs import logs
from e2e.clients import Account, letter, wait_for_message
from e2e.cluster import packages
from e2e.folders import no, session
from e2e.kube import GROUP
from e2e.mailbox_state import erase, folder_there, on_store
from e2e.managesieve import ManageSieve
from e2e.platform import Platform
from e2e.post import post

MAIL = b"Subject: kept\r\n\r\nbody\r\n"
NAMES = (
    "Grüße",
    "日本語/資料",
    "v1.2",
    "Kunden/A. Müller & Co./2024.11",
    ".hidden",
    "..",
    "dots...",
    " leading and trailing ",
    "~home",
    "Work/~old",
    "100%",
    "a*b?c",
    "x^y",
    'quo"te\\s',
    "#news",
    "cur",
    "INBOX/Sub.folder",
    "/".join(["deep"] * 25),
    "long " * 40,
)
CLIENT = {"mbsync": ("isync",)}
SETTINGS = """
IMAPAccount far
Tunnel "openssl s_client -quiet -verify_quiet -verify_return_error -CAfile {ca} -verify_hostname {host} -connect {at}"
User {user}
Pass {password}
AuthMechs LOGIN

IMAPStore far
Account far

MaildirStore near
Path {folder}/
Inbox {folder}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
SyncState {folder}.state/
"""
QUESTIONS = (
    "CREATE {box}",
    "STATUS {box}/INBOX (MESSAGES)",
    "STATUS {box} (MESSAGES)",
    "SELECT {box}/INBOX",
    "CREATE {box}/mine",
    "CREATE {box}/mine.two",
    "SUBSCRIBE {box}/INBOX",
    "GETACL {box}/INBOX",
    "MYRIGHTS {box}/INBOX",
    "SETACL {box}/INBOX {own} lrs",
    "DELETE {box}/x",
    "GETQUOTAROOT {box}/INBOX",
    'LIST "" {box}/*',
)


@pytest.mark.row("M8")
def test_a_folder_may_have_any_name_that_a_client_brings(platform: Platform) -> None:
    account = platform.add_mailbox()
    with account.imap() as imap:
        for name in NAMES:
            imap.create_folder(name)
            imap.subscribe_folder(name)
            imap.append(name, MAIL)
        listed = {name for flags, _, name in imap.list_folders() if b"\\Noselect" not in flags}
        assert set(NAMES) <= listed
        assert set(NAMES) <= {name for _, _, name in imap.list_sub_folders()}
        for name in NAMES:
            assert imap.select_folder(name)[b"EXISTS"] == 1, name
        imap.rename_folder("v1.2", "v1.3/final.1")
        assert imap.folder_status("v1.3/final.1", ["MESSAGES"]) == {b"MESSAGES": 1}
        imap.delete_folder("..")
        assert not imap.folder_exists("v1.2")
        assert not imap.folder_exists("..")
    with session(account) as plain:
        for name in ("a//b", "/first", "x" * 300):
            assert no(plain.create(f'"{name}"')), "what cannot be stored is refused in words"
    platform.remove_mailbox(account.user)


@pytest.mark.row("M8")
def test_folders_without_a_dot_in_their_names_keep_their_place(platform: Platform) -> None:
    account = platform.add_mailbox()
    with account.imap() as imap:
        for name in ("Projects/x^y", "a%b~c", "Grüße"):
            imap.create_folder(name)
    found = on_store(platform, "ls", "-A", f"/srv/mail/{account.user}/Maildir").splitlines()
    assert {".Projects.x^y", ".a%b~c", ".Gr&APwA3w-e"} <= set(found)
    platform.remove_mailbox(account.user)


@pytest.mark.row("M8")
@pytest.mark.row("A2")
def test_utf8_is_offered_only_where_it_works(platform: Platform) -> None:
    account = platform.add_mailbox()
    with account.imap() as imap:
        assert b"UTF8=ACCEPT" not in imap.capabilities()
        assert imap.enable("UTF8=ACCEPT") == []
        imap.create_folder("Grüße")
        assert "Grüße" in {name for _, _, name in imap.list_folders()}
        assert imap.select_folder("Grüße")[b"EXISTS"] == 0
    message = letter("stranger@outside.test", f"{account.user}@example.test", subject="Grüße")
    with platform.smtp() as smtp:
        smtp.ehlo()
        options = ["SMTPUTF8", "BODY=8BITMIME"]
        assert not smtp.sendmail("fräulein@outside.test", [f"{account.user}@example.test"], message.as_bytes(), options)
    wait_for_message(account, message["Message-ID"])
    platform.remove_mailbox(account.user)


def mbsync(platform: Platform, account: Account, folder: Path) -> None:
    """Bring a folder of Maildirs and the mailbox to the same state, by a client that is not ours."""
    for needed in (folder, folder.with_name(f"{folder.name}.state")):
        needed.mkdir(exist_ok=True)
    authority = folder.parent / "ca.crt"
    authority.write_text(account.ca)
    place = {
        "ca": authority,
        "host": account.hostname,
        "at": f"{platform.service_address(f'{platform.name}-imap')}:993",
    }
    settings = folder.parent / "mbsyncrc"
    settings.write_text(SETTINGS.format(**place, user=account.user, password=account.password, folder=folder))
    command = ["mbsync", "-c", str(settings), "-a"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.row("M8")
@pytest.mark.row("P1")
def test_a_foreign_client_takes_folders_there_and_back(platform: Platform, tmp_path: Path) -> None:
    packages.ensure(CLIENT)
    account = platform.add_mailbox()
    brought = ("INBOX", "Grüße", "v1.2", "Kunden", "Kunden/Müller & Co", "日本語", "100%")
    with account.imap() as imap:
        for name in brought[1:]:
            imap.create_folder(name)
        for name in brought:
            imap.append(name, MAIL)
    here = tmp_path / "here"
    mbsync(platform, account, here)
    local = {path.parent for path in here.rglob("cur") if any(path.iterdir()) or any((path.parent / "new").iterdir())}
    assert len(local) == len(brought), "each folder came with its message"
    for folder in (*local, here / "new.2024" / "v3.1"):  # however this client spells them
        for part in ("cur", "new", "tmp"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "cur" / "1.2.here:2,S").write_bytes(b"Message-ID: <%d@case.test>\n\nbody\n" % len(str(folder)))
    mbsync(platform, account, here)
    with account.imap() as imap:
        held = {name: imap.folder_status(name, ["MESSAGES"])[b"MESSAGES"] for name in (*brought, "new.2024/v3.1")}
    assert held == {**dict.fromkeys(brought, 2), "new.2024/v3.1": 1}
    platform.remove_mailbox(account.user)


def answers(account: Account, other: str) -> list[str]:
    """What a user is told who asks in all ways for the folders of another, without that name and without times."""
    told = []
    with session(account) as imap:
        for number, question in enumerate(QUESTIONS):
            tag = f"q{number}"
            imap.send(f"{tag} {question.format(box=f'Shared/{other}', own=account.user)}\r\n".encode())
            for line in iter(imap.readline, b""):
                told.append(re.sub(r"\([\d.]+ \+ .*?secs\)", "", line.decode().strip()).replace(other, "USER"))
                if line.startswith(tag.encode()):
                    break
    return told


@pytest.mark.row("M5")
@pytest.mark.row("B4")
def test_nobody_learns_who_exists_and_no_folder_is_made_for_nobody(platform: Platform) -> None:
    asking, silent, erased = (platform.add_mailbox() for _ in range(3))
    for account in (silent, erased):
        with account.imap() as imap:
            imap.append("INBOX", MAIL)
    erasing = {"spec": {"reclaimPolicy": "Delete"}}
    platform.kube.patch(GROUP, "Mailbox", platform.namespace, erased.user, erasing)
    # Until the Mailbox is gone, its store may know the user, and who asks for his folders makes them.
    erase(platform, erased.user)
    assert not folder_there(platform, erased.user)
    known = answers(asking, silent.user)
    assert any("NONEXISTENT" in line for line in known)
    nobody = f"nobody-{secrets.token_hex(3)}"
    ghosts = (f"ghost-{secrets.token_hex(3)}", silent.user.upper(), f"{silent.user}@example.test", erased.user, "a.b")
    for ghost in ghosts:
        assert answers(asking, ghost) == known, ghost
    with ManageSieve(asking) as sieve:
        sieve.login().put("ghost", f'require ["fileinto", "mailbox"]; fileinto :create "Shared/{nobody}/x";')
    message = post(platform, f"{asking.user}@example.test")
    wait_for_message(asking, message["Message-ID"])
    there = {name.lower() for name in on_store(platform, "ls", "-A", "/srv/mail").split()}
    made = there & ({ghost.lower() for ghost in (*ghosts, nobody)} - {silent.user})
    assert made == set()
    for account in (asking, silent):
        platform.remove_mailbox(account.user)


def _appends(account: Account) -> None:
    for _ in range(3):
        with account.imap() as imap:
            for folder in ("INBOX", "Junk") * 4:
                imap.append(folder, MAIL)


@pytest.mark.row("L2")
def test_eight_sessions_in_one_mailbox_log_no_error(platform: Platform) -> None:
    account = platform.add_mailbox()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(_appends, [account] * 8))
    with account.imap() as imap:
        assert imap.folder_status("INBOX", ["MESSAGES"])[b"MESSAGES"] == 8 * 3 * 4
    said = [line for line in logs(platform, "store").splitlines() if f"({account.user})" in line]
    assert said
    assert not [line for line in said if re.search(r"(Error|Warning|Panic|Fatal):", line)]
    platform.remove_mailbox(account.user)


@pytest.mark.row("M8")
def test_a_folder_with_a_dot_is_shared_as_any_other(platform: Platform) -> None:
    owner, guest = platform.add_mailbox(), platform.add_mailbox()
    with owner.imap() as imap:
        imap.create_folder("v1.2")
        imap.append("v1.2", MAIL)
        imap.setacl("v1.2", guest.user, "lrs")
    with guest.imap() as imap:
        shared = f"Shared/{owner.user}/v1.2"
        assert shared in {name for _, _, name in imap.list_folders()}
        assert imap.select_folder(shared)[b"EXISTS"] == 1
    for account in (owner, guest):
        platform.remove_mailbox(account.user)
