"""Passwords: hashes as they are, plain text hashed once and always alike."""

from base64 import b64decode
from hashlib import sha512

import pytest

from postboat.model.passwords import stored_password
from postboat.model.verdict import Reason, Verdict

KEY = b"key of the platform"


def test_plain_text_becomes_a_hash_that_verifies() -> None:
    stored = stored_password(b"correct horse\n", "alice", KEY)
    assert isinstance(stored, str)
    raw = b64decode(stored.removeprefix("{SSHA512}"))
    assert sha512(b"correct horse" + raw[64:]).digest() == raw[:64]
    assert len(raw) == 64 + 16


def test_equal_input_gives_equal_bytes_and_nothing_else_does() -> None:
    one = stored_password(b"secret", "alice", KEY)
    assert one == stored_password(b"secret", "alice", KEY)
    assert len({one, stored_password(b"secret", "bob", KEY), stored_password(b"secret", "alice", b"other")}) == 3


@pytest.mark.parametrize(
    ("content", "stored"),
    [
        (
            b"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$c2FsdA$aGFzaA\n",
            "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$c2FsdA$aGFzaA",
        ),
        (b"$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA", "{ARGON2ID}$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA"),
        (b"$2y$12$abcdefghijklmnopqrstuv", "{BLF-CRYPT}$2y$12$abcdefghijklmnopqrstuv"),
        (b"$6$salt$hashhashhash", "{SHA512-CRYPT}$6$salt$hashhashhash"),
        (b"{SSHA512}c29tZXRoaW5nbG9uZw==", "{SSHA512}c29tZXRoaW5nbG9uZw=="),
        (b"$y$j9T$c29tZXRoaW5n$aGFzaGhhc2g", "{CRYPT}$y$j9T$c29tZXRoaW5n$aGFzaGhhc2g"),
        (b"{CRYPT}$5$rounds=5000$salt$hashhash", "{CRYPT}$5$rounds=5000$salt$hashhash"),
        (b"{CRYPT}abJnggxhB/yWI", "{CRYPT}abJnggxhB/yWI"),
    ],
)
def test_hashes_are_taken_as_they_are(content: bytes, stored: str) -> None:
    assert stored_password(content, "alice", KEY) == stored


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"hunter2\nhunter3", b"hunter2\0", b"{SSHA512}hunter2 x", b"$6$hunter2 x", b"x" * 1025]
)
def test_what_cannot_be_a_password_is_refused_without_being_shown(content: bytes) -> None:
    verdict = stored_password(content, "alice", KEY)
    assert isinstance(verdict, Verdict)
    assert verdict.reason is Reason.INVALID_SECRET
    assert "hunter2" not in verdict.message


def test_braces_of_no_scheme_are_plain_text() -> None:
    assert str(stored_password(b"{curly}", "alice", KEY)).startswith("{SSHA512}")
    assert str(stored_password(b"{PLAIN}secret", "alice", KEY)).startswith("{SSHA512}")


def test_any_bytes_can_be_a_password() -> None:
    assert str(stored_password("pässwörd".encode("latin-1"), "alice", KEY)).startswith("{SSHA512}")


@pytest.mark.parametrize(
    "content",
    [
        b"{ARGON2ID}$argon2id$v=19$m=262145,t=3,p=1$c2FsdA$aGFzaA",
        b"$argon2i$v=19$m=65536,t=17,p=1$c2FsdA$aGFzaA",
        b"{CRYPT}$2y$31$abcdefghijklmnopqrstuv",
        b"{BLF-CRYPT}$2x$31$abcdefghijklmnopqrstuv",
        b"{CRYPT}$sha1$4000000000$salt$hashhash",
        b"{CRYPT}$7$CU..../....salt$hashhash",
        b"{CRYPT}$gy$j9T$salt$hashhash",
        b"$y$jFT$salt$hashhash",
        b"$2b$16$abcdefghijklmnopqrstuv",
        b"$6$rounds=999999999$salt$hashhashhash",
        b"{PBKDF2}$1$salt$99999999$hashhash",
        b"{SCRAM-SHA-256}99999999,c2FsdA==,aGFzaA==,aGFzaA==",
        b"{BLF-CRYPT.b64}JDJ5JDMxJGFiY2RlZmdoaWprbG1ub3BxcnN0dXY=",
    ],
)
def test_a_hash_that_would_keep_the_checker_busy_is_refused(content: bytes) -> None:
    verdict = stored_password(content, "alice", KEY)
    assert isinstance(verdict, Verdict)
    assert verdict.reason is Reason.INVALID_SECRET
    assert "salt" not in verdict.message


def test_the_costliest_hash_that_is_allowed() -> None:
    known = "{ARGON2ID}$argon2id$v=19$m=262144,t=16,p=1$c2FsdA$aGFzaA"
    assert stored_password(known.encode(), "alice", KEY) == known
