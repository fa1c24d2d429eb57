"""Password hashes: each kind that is taken opens the mailbox, none that looks like one is a password itself."""

from __future__ import annotations

import secrets
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from e2e.clients import Account
from e2e.kube import GROUP
from e2e.platform import Platform, manifest, password_secret
from e2e.post import verdict

WORD = "secret"
TAKEN = {  # hashes of WORD, most of them by `doveadm pw`
    "argon2i": "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$r5mbGle1MAOpXV3cXgKfEw"
    "$RgERv/bvL0aKL6fKjRbXAW0Gx3e9KoCU5mao2l58VZI",
    "argon2id": "{argon2id}$argon2id$v=19$m=65536,t=3,p=1$hfqW5z+DQWGBEbF0s2YLIA"
    "$hWsYdMs1Obw87zR1pedfWv4kTENk9OTzhXX8/A21Dp8",
    "bcrypt": "$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
    "blf-crypt": "{Blf-Crypt}$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
    "cram-md5": "{CRAM-MD5}cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56",
    "pbkdf2": "{PBKDF2}$1$fMEk86IPQwl6wU0H$5000$9e37aa110841e4708365f350845e7a228b7f6de5",
    "plain": "{PLAIN}secret",
    "scram-1": "{SCRAM-SHA-1}4096,81mrvwD7+B3+Yo1ZnsR+bw==,HAmt0kSrIlnk4YN25WfnlcGvn3I=,kKEIBs0Xj6JtWFeRe4Sn+Q2xc/0=",
    "scram-256": "{SCRAM-SHA-256}4096,MKLqysGRo5Bd27pXM5vX+g==,Djgxsa188a0qGrMCg6iGejvwneyuMzL6ff0JC87rVnU="
    ",Ers6v9ws8ZRtK3JL2aJ6/tmGUQRIFkWuDcBC0+21JJU=",
    "sha": "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
    "sha256": "{SHA256.HEX}2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
    "sha256-crypt": "{sha256-crypt}$5$NcyM/.MHT6vJmz5l$KAqkpIPghsVuL1UefK.jn.jePu.UE2u/7lL5jGPQmk0",
    "sha512": "{SHA512}vSsar3708Jvp9Szi2NWZZ02Bqp1qRCFpbcTZPdBhnWgs5WtNZKnvCXdhztmeD2cmW192CF5bDufKRpayrW/isg==",
    "sha512-crypt": "$6$rounds=1000$salt"
    "$HNxBeBnDfSfUrTj6KiLnmd7tGCvHEmcExh8kl/S0cZ5WrCciNZgfhbpkeFQ4JfkHX.8vPq45lY0iINnCx1Lkm.",
    "ssha": "{SSHA}W3Tll65bgaTUoP6+EL/01FB3WY0KNxYj",
    "ssha256": "{ssha256.b64}+E+iFJ27Yu1ODPH1UNKUmzOmUT06dwfghQJRHHnMsO5zYWx0",
    "ssha512": "{SSHA512}eJHo52bY0cPGjIIJMwK8lXRRFGGMMGOIrrOQ9/K0eAXleAWAj9DunEXVPXPQ+J/RY4nnn4fmJOP5DtLgB482gr7CjFc=",
    "yescrypt": "{CRYPT}$y$j9T$abcdefgh$IUWJt2doU4Kf6E/JP1UkAT3S5O3Q7SSA8SJirXIlEu9",
}
REFUSED = {
    "crypt-md5": "{CRYPT}$1$salt1234$GexpiwjB8qThXlxv/yIG6.",
    "crypt-des": "{CRYPT}abNANd1rDfiNc",
    "cut-off": "{SHA512-CRYPT}$6$salt$HNxBeBnDfSfUrTj6KiLnmd7tGCvHEmcExh8kl",
    "htpasswd": "alice:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
    "ldap-md5": "{MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ==",
    "md5-bare": "$1$salt1234$GexpiwjB8qThXlxv/yIG6.",
    "md5-crypt": "{MD5-CRYPT}$1$salt1234$GexpiwjB8qThXlxv/yIG6.",
    "no-scheme": "{BCRYPT}$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
    "smd5": "{smd5}c5AxCgcpLwFCIgvYgc31MxJpJ24=",
}


@pytest.fixture(scope="module")
def users(platform: Platform) -> Iterator[dict[str, str]]:
    """Names of mailboxes by the kind of their hash; all hashes lie in one Secret."""
    mark = secrets.token_hex(2)
    named = {kind: f"{kind}-{mark}" for kind in (*TAKEN, *REFUSED)}
    secret = f"hashes-{mark}"
    platform.kube.apply(password_secret(platform.namespace, secret, {**TAKEN, **REFUSED}))
    platform.kube.apply(*(
        manifest("Mailbox", platform.namespace, user, {"passwordSecret": {"name": secret, "key": kind}})
        for kind, user in named.items()
    ))  # fmt: skip
    for kind in TAKEN:
        platform.kube.wait_condition("Mailbox", platform.namespace, named[kind], "Ready")
    yield named
    for user in named.values():
        platform.kube.delete(GROUP, "Mailbox", platform.namespace, user)
    platform.kube.delete("v1", "Secret", platform.namespace, secret)


def login(account: Account) -> int:
    """Try a login for submission: the reply to it, 535 for a wrong password, 454 where none can be checked.

    Unlike IMAP it makes nobody wait for the wrong passwords of others from his address.
    """
    with account.secure() as session:
        session.ehlo()
        word = b64encode(f"\0{account.user}\0{account.password}".encode()).decode()
        return session.docmd("AUTH PLAIN", word)[0]


def logins(platform: Platform, tries: dict[str, str]) -> dict[str, int]:
    """Try many logins, each with a password, by the names of their users."""
    with ThreadPoolExecutor(4) as pool:
        codes = pool.map(lambda user: login(platform.account(user, tries[user])), tries)
        return dict(zip(tries, codes, strict=True))


@pytest.mark.row("M1")
def test_each_kind_of_hash_that_is_taken_opens_the_mailbox_and_is_no_password(
    platform: Platform, users: dict[str, str]
) -> None:
    taken = {users[kind]: text for kind, text in TAKEN.items()}
    assert logins(platform, dict.fromkeys(taken, WORD)) == dict.fromkeys(taken, 235)
    assert logins(platform, taken) == dict.fromkeys(taken, 535)
    for kind in ("bcrypt", "cram-md5", "yescrypt"):
        platform.account(users[kind], WORD).imap().logout()


@pytest.mark.row("M1")
@pytest.mark.row("B3")
def test_what_looks_like_a_hash_and_cannot_be_checked_is_named_and_opens_nothing(
    platform: Platform, users: dict[str, str]
) -> None:
    for kind, text in REFUSED.items():
        said = verdict(platform, "Mailbox", users[kind], "InvalidSecret")
        assert said.startswith("spec.passwordSecret: "), said
        assert "doveadm pw" in said or "{PLAIN}" in said, said
        assert text not in said
    refused = {users[kind]: text for kind, text in REFUSED.items()}
    assert logins(platform, refused) == dict.fromkeys(refused, 535)
    assert logins(platform, dict.fromkeys(refused, WORD)) == dict.fromkeys(refused, 535)
