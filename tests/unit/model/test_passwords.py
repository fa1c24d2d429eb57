"""Passwords: hashes as they are, plain text hashed once; what looks like a hash is never a password."""

from base64 import b64decode, b64encode
from hashlib import sha1, sha256, sha512

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postboat.model.passwords import stored_password
from postboat.model.verdict import Reason, Verdict

KEY = b"key of the platform"
BCRYPT = "$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"
FIVE = "salt1234$JR6dBKbsnBZUberntG.C1thHq3lbqZS1ZQECPMdkD3/"
SIX = "salt1234$XlM3TAPQpzPux1K5SXljYTSlmwnoAbsunXwwWMLH2USuV84oQBkDPWUDYWZltiv6PdqNfuqoMB4aXKHtDfWeo/"
YES = "$y$j9T$abcdefgh$IUWJt2doU4Kf6E/JP1UkAT3S5O3Q7SSA8SJirXIlEu9"
ARGON = "$v=19$m=65536,t=3,p=1$Ykw1t/KfARRzHtZDCOs4qQ$xWIpdb4OhttrT4fUe5u/Xvx4dMaRYHN6y0/ps0rC0NM"
PBKDF2 = "$1$salt$5000$9e37aa110841e4708365f350845e7a228b7f6de5"
SCRAM = (
    "4096,c2FsdHNhbHRzYWx0,UdmKRUjfgm0U6mfMFFn/tGaEoriNY2YlrUES5w+4kaA=,ZH6upP+u0RFc4kNZYflxg+txwr3oRQzn7g5iT1aH7rY="
)
CRAM = "cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56"
SHA = sha1(b"secret", usedforsecurity=False).digest()
SSHA = sha512(b"secretsalt").digest() + b"salt"
_TAKEN = ["SHA", "SHA1", "SHA256", "SHA512", "SSHA", "SSHA256", "SSHA512", "CRYPT", "BLF-CRYPT", "SHA256-CRYPT"]
_TAKEN += ["SHA512-CRYPT", "ARGON2", "ARGON2I", "ARGON2ID", "PBKDF2", "SCRAM-SHA-1", "SCRAM-SHA-256", "CRAM-MD5"]
_UNCHECKED = ["DES-CRYPT", "MD5-CRYPT", "MD5", "SMD5", "LDAP-MD5", "PLAIN-MD5", "PLAIN-MD4", "HMAC-MD5", "DIGEST-MD5"]
_UNCHECKED += ["OTP", "PLAIN-TRUNC", "BCRYPT"]
_FOREIGN = ["BLOWFISH", "SHA-512", "SSHA384", "PBKDF2-SHA256", "PBKDF2_SHA512", "NT"]


def b64(raw: bytes) -> str:
    return b64encode(raw).decode()


def refused(content: bytes) -> str:
    verdict = stored_password(content, "alice", KEY)
    assert isinstance(verdict, Verdict), f"{content!r} became {verdict}"
    assert verdict.reason is Reason.INVALID_SECRET
    return verdict.message


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
        (f"{{ARGON2ID}}$argon2id{ARGON}\n", f"{{ARGON2ID}}$argon2id{ARGON}"),
        (f"$argon2id{ARGON}", f"{{ARGON2ID}}$argon2id{ARGON}"),
        (f"$argon2i{ARGON}", f"{{ARGON2I}}$argon2i{ARGON}"),
        (f"{{ARGON2}}$argon2id{ARGON}", f"{{ARGON2}}$argon2id{ARGON}"),
        *((f"$2{letter}{BCRYPT}", f"{{BLF-CRYPT}}$2{letter}{BCRYPT}") for letter in "abxy"),
        (f"$5${FIVE}", f"{{SHA256-CRYPT}}$5${FIVE}"),
        (f"$6$rounds=5000${SIX}", f"{{SHA512-CRYPT}}$6$rounds=5000${SIX}"),
        (f"{{SHA512-CRYPT}}$5${FIVE}", f"{{SHA512-CRYPT}}$5${FIVE}"),
        (YES, f"{{CRYPT}}{YES}"),
        (f"{{CRYPT}}$6${SIX}", f"{{CRYPT}}$6${SIX}"),
        (f"{{PBKDF2}}{PBKDF2}", f"{{PBKDF2}}{PBKDF2}"),
        (f"{{SCRAM-SHA-256}}{SCRAM}", f"{{SCRAM-SHA-256}}{SCRAM}"),
        (f"{{CRAM-MD5}}{CRAM}", f"{{CRAM-MD5}}{CRAM}"),
        (f"{{SHA}}{b64(SHA)}", f"{{SHA}}{b64(SHA)}"),
        (f"{{SHA1}}{SHA.hex()}", f"{{SHA1}}{b64(SHA)}"),
        (f"{{SSHA512}}{b64(SSHA)}", f"{{SSHA512}}{b64(SSHA)}"),
        (f"{{SSHA512}}{b64(SSHA).rstrip('=')}", f"{{SSHA512}}{b64(SSHA)}"),
        (f"{{SSHA512.HEX}}{SSHA.hex().upper()}", f"{{SSHA512}}{b64(SSHA)}"),
        (f"{{ssha512.b64}}{b64(SSHA)}", f"{{SSHA512}}{b64(SSHA)}"),
        (f"{{BLF-CRYPT.b64}}{b64(f'$2y{BCRYPT}'.encode())}", f"{{BLF-CRYPT}}$2y{BCRYPT}"),
        (f"{{Sha512-Crypt}}$6${SIX}", f"{{SHA512-CRYPT}}$6${SIX}"),
    ],
)
def test_hashes_are_taken_as_dovecot_reads_them(content: str, stored: str) -> None:
    assert stored_password(content.encode(), "alice", KEY) == stored
    braced, brace, body = content.rstrip().rpartition("}")
    if brace:
        assert stored_password(f"{braced.lower()}{brace}{body}".encode(), "alice", KEY) == stored


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"hunter2\nhunter3", b"hunter2\0", b"{SSHA512}hunter2 x", b"$6$hunter2 x", b"x" * 1025]
)
def test_what_cannot_be_a_password_is_refused_without_being_shown(content: bytes) -> None:
    assert "hunter2" not in refused(content)


@pytest.mark.parametrize(
    "scheme",
    _UNCHECKED,
)
@pytest.mark.parametrize("body", ["$1$salt1234$GexpiwjB8qThXlxv/yIG6.", f"$2b{BCRYPT}", "x", ""])
def test_a_scheme_that_dovecot_does_not_check_is_refused_with_the_cure(scheme: str, body: str) -> None:
    for spelling in (scheme, scheme.lower(), scheme.title(), f"{scheme}.b64"):
        message = refused(f"{{{spelling}}}{body}".encode())
        assert f"does not check {{{scheme}}}" in message
        assert "doveadm pw -s BLF-CRYPT" in message


@pytest.mark.parametrize(
    "content",
    [
        "{CRYPT}abNANd1rDfiNc",
        "{CRYPT}_J9..rasmz0.F/jqjWck",
        "{CRYPT}$1$salt1234$GexpiwjB8qThXlxv/yIG6.",
        "{SHA512-CRYPT}$1$salt1234$GexpiwjB8qThXlxv/yIG6.",
        "{CRYPT}*0",
        f"{{BLF-CRYPT}}$6${SIX}",
        "{BLF-CRYPT}$2y$12$abcdefghijklmnopqrstuv",
        f"{{CRYPT}}$2b$03{BCRYPT[3:]}",
        f"{{SHA512-CRYPT}}$6${SIX[:-1]}",
        f"{{SHA512-CRYPT}}$6$rounds=999${SIX}",
        f"{{SHA512-CRYPT}}!$6${SIX}",
        f"{{ARGON2ID}}$argon2id{ARGON.replace('$v=19', '')}",
        f"{{ARGON2ID}}$argon2id{ARGON.replace('p=1', 'p=255').replace('65536', '1024')}",
        "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$c2FsdA$aGFzaA",
        "{PBKDF2}$1$salt$5000$zz",
        f"{{SCRAM-SHA-1}}{SCRAM}",
        f"{{SCRAM-SHA-256}}{SCRAM.replace('4096', '4095')}",
        "{SHA512}c29tZXRoaW5n",
        f"{{SSHA512}}{b64(SSHA[:64])}",
        f"{{SSHA512}}{SSHA.hex()}",
        f"{{SHA.OTHER}}{b64(SHA)}",
        f"{{SHA.}}{b64(SHA)}",
        "{SHA}",
        "{x-issha, 1024}cGFzc3dvcmRwYXNzd29yZA==",
        "{SSHA384}cGFzc3dvcmQ=",
        "{PKCS5S2}cGFzc3dvcmRwYXNzd29yZA==",
        "$1$salt1234$GexpiwjB8qThXlxv/yIG6.",
        "$1$",
        "$2b$",
        "$6$",
        "$argon2id$",
        "$y$",
        "$apr1$salt1234$GexpiwjB8qThXlxv/yIG6.",
        "$sha1$4000$salt1234$8xV1IX6hMyaoblQegqkoS7hDCkg/",
        "$md5,rounds=904$salt1234$$ZytPn5WeICEW5TMsSDeT2/",
        "$7$CU..../....abcdefgh$XWs9HxtpA2.6U5CDBBbcW.h3o9pYlC.MIIb",
        "$gy$j9T$abcdefgh$Fi3mUfLMwr2ZyDlmydp6rw5RwzYJnsb1LquZlQ2CYq0",
        "$P$BnJ9vr7fZ5pRk1nQ2sXx0yZbQv4kzq/",
        "$pbkdf2-sha256$29000$N2YMIWQsBWBMae09x1jrPQ$1t8iyB2A.WF/Z5JZv.lfCIhXXN33N23OSgQYThBYRfk",
        "$newest$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
        "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy",
        f"alice:$6${SIX}",
        f"alice:{{SHA}}{b64(SHA)}",
        f"alice:$6${SIX}:19000:0:99999:7:::",
        f"!$6${SIX}",
        f" $6${SIX}",
        f'"$6${SIX}"',
        f"$6${SIX} ",
    ],
)
def test_what_looks_like_a_hash_and_cannot_be_checked_is_refused(content: str) -> None:
    assert refused(content.encode())


@pytest.mark.parametrize(
    "content",
    [b"{curly}", b"{curly}and more", b"{", b"a{SHA}b", b"{my dog}$6$", b"$ecret$1", b"$100", b"x:y", b"{}x" * 9],
)
def test_what_merely_has_such_letters_is_a_password(content: bytes) -> None:
    assert stored_password(content, "alice", KEY) == stored_password(b"{PLAIN}" + content, "alice", KEY)


@pytest.mark.parametrize("mark", ["{PLAIN}", "{plain}", "{CLEAR}", "{CLEARTEXT}"])
def test_after_the_mark_of_plain_text_anything_is_the_password(mark: str) -> None:
    assert stored_password(f"{mark}secret".encode(), "alice", KEY) == stored_password(b"secret", "alice", KEY)
    assert str(stored_password(f"{mark}$6${SIX}".encode(), "alice", KEY)).startswith("{SSHA512}")
    assert stored_password(b"{PLAIN.b64}c2VjcmV0", "alice", KEY) == stored_password(b"secret", "alice", KEY)
    assert "empty" in refused(mark.encode())
    assert "line" in refused(b"{PLAIN.HEX}610a62")


def test_any_bytes_can_be_a_password() -> None:
    assert str(stored_password("pässwörd".encode("latin-1"), "alice", KEY)).startswith("{SSHA512}")


@pytest.mark.parametrize(
    "content",
    [
        f"{{ARGON2ID}}$argon2id{ARGON.replace('65536', '262145')}",
        f"$argon2i{ARGON.replace('t=3', 't=17')}",
        f"{{CRYPT}}$2y$31{BCRYPT[3:]}",
        f"{{BLF-CRYPT}}$2x$31{BCRYPT[3:]}",
        "{CRYPT}$sha1$4000000000$salt$hashhash",
        "{CRYPT}$7$CU..../....salt$hashhash",
        "{CRYPT}$gy$j9T$salt$hashhash",
        YES.replace("j9T", "jFT"),
        f"$2b$16{BCRYPT[3:]}",
        f"$6$rounds=999999999${SIX}",
        f"$5$rounds=2000001${FIVE}",
        f"{{PBKDF2}}{PBKDF2.replace('5000', '99999999')}",
        f"{{SCRAM-SHA-256}}{SCRAM.replace('4096', '99999999')}",
        f"{{BLF-CRYPT.b64}}{b64(f'$2y$31{BCRYPT[3:]}'.encode())}",
        f"{{ARGON2ID.HEX}}{f'$argon2id{ARGON}'.replace('65536', '9999999').encode().hex()}",
    ],
)
def test_a_hash_that_would_keep_the_checker_busy_is_refused(content: str) -> None:
    assert "salt" not in refused(content.encode())


def test_the_costliest_hash_that_is_allowed() -> None:
    known = f"{{ARGON2ID}}$argon2id{ARGON.replace('65536', '262144').replace('t=3', 't=16')}"
    assert stored_password(known.encode(), "alice", KEY) == known


_BODIES = (
    f"$2b{BCRYPT}",
    f"$5${FIVE}",
    f"$6${SIX}",
    YES,
    f"$argon2id{ARGON}",
    "$1$salt1234$GexpiwjB8qThXlxv/yIG6.",
    b64(SHA),
    SHA.hex(),
    b64(sha256(b"secret").digest()),
    b64(SSHA),
    PBKDF2,
    SCRAM,
    CRAM,
)


@given(
    st.sampled_from([*_TAKEN, *_UNCHECKED, *_FOREIGN]),
    st.sampled_from([str.upper, str.lower, str.title, str.swapcase]),
    st.sampled_from(["", ".B64", ".b64", ".HEX", ".hex", ".base64"]),
    st.sampled_from(_BODIES),
    st.integers(0, 12),
)
def test_no_hash_is_a_password(scheme: str, spelt: object, encoding: str, body: str, lost: int) -> None:
    """Whatever scheme, spelling and encoding, even a truncated one: the text of a hash never opens a mailbox."""
    assert callable(spelt)
    for content in (
        f"{{{spelt(scheme)}{encoding}}}{body[: len(body) - lost]}",
        *([body] if body.startswith("$") else []),
    ):
        stored = stored_password(content.encode(), "alice", KEY)
        assert isinstance(stored, Verdict) or not _opens(stored, content), content


def _opens(stored: str, password: str) -> bool:
    """Whether a stored hash is that of this password, as far as plain text is hashed here."""
    return stored == stored_password(b"{PLAIN}" + password.encode(), "alice", KEY)
