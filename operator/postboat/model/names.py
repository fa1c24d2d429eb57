"""Normal forms of mail names, in which they are compared: addresses, domains and user names.

A domain is in lower-case A-labels (RFC 5890), a local part in lower case and without its `+tag`. Functions that
normalise return None for text that has no such form.
"""

from functools import lru_cache
from hashlib import blake2b
from re import ASCII
from re import compile as pattern
from sys import intern
from typing import Final

import idna

DELIMITER: Final = "+"
MASTER_USER: Final = "root"
"""User name of the master user, who logs in as `john*root`."""
EDGE_LOGIN: Final = ".edge"
"""User name of the technical login of edges at stores.

No user can have it or VISITOR_LOGIN, since they begin with a dot: for `edge*edge` Dovecot would log in the user
himself, who could then not read his mail.
"""
VISITOR_LOGIN: Final = ".visitor"
"""User name of the technical login of other stores at the first store."""
SHARDS: Final = 64
"""Number of directory shards. It never changes, since it decides in which shard a row is."""
RESERVED: Final = ".invalid"
"""Ending of domains that only the platform uses.

The DNS never has them (RFC 2606), so nobody owns an address in them.
"""
MAILBOX_DOMAIN: Final = "mailbox.invalid"
COPY_DOMAIN: Final = "copy.invalid"
LIST_DOMAIN: Final = "list.invalid"
POSTMASTER_DOMAIN: Final = "postmaster.invalid"
UNICODE_DOMAIN: Final = "unicode.invalid"
"""Stands for every domain that only its A-labels distinguish from another one."""
SCRIPTS: Final = f"scripts@{MAILBOX_DOMAIN}"
"""Name under which mail that stores send is submitted to the filter; no user can have it."""
_A_DOMAIN: Final = pattern(
    r"(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?", ASCII
)
_USER: Final = pattern(r"[a-z0-9_](?:[a-z0-9_-]|\.[a-z0-9_-])*", ASCII)
_AT: Final = "="
"""Stands for the @ of a user name within the local part of an address."""
_ATOM: Final = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL: Final = pattern(rf"{_ATOM}(?:\.{_ATOM})*", ASCII)
_LONGEST_LOCAL: Final = 64
LONGEST_USER: Final = 200
"""Characters of a user name with its domain.

It names a folder, and file systems allow 255 bytes, suffixes of ours included.
"""
_LONGEST_DOMAIN: Final = 255
"""Octets of a domain in SMTP (RFC 5321, 4.5.3.1.2)."""


@lru_cache(maxsize=4096)
def domain(text: str) -> str | None:
    """Return a domain in lower-case A-labels (RFC 5890, UTS 46), or None when it is none.

    Args:
        text: A domain in any form: A-labels or U-labels, any case, with or without a dot at its end.

    Returns:
        At least two labels and at most 253 characters, without a dot at the end.
    """
    try:
        name = text.rstrip(".").lower() if text.isascii() else idna.encode(text.rstrip("."), uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return None
    return name if _A_DOMAIN.fullmatch(name) else None


@lru_cache(maxsize=4096)
def spellings(name: str) -> tuple[str, ...]:
    """Return the forms of a domain that Postfix has to know, sorted: the A-labels, and the U-labels where they differ.

    Postfix folds the case of what it looks up (Unicode), so U-labels that become another domain then, such as those
    with a sharp s, are left out. So are those of more than 255 octets (RFC 5321, 4.5.3.1.2).

    Args:
        name: A domain as `domain` returns it.
    """
    form = unicode(name)
    fits = len(form.encode()) <= _LONGEST_DOMAIN  # a longer one comes over no SMTP, and is no key of LMDB (511)
    return tuple(sorted({name, form})) if fits and form.casefold() == form else (name,)


@lru_cache(maxsize=4096)
def unicode(name: str) -> str:
    """Return the U-labels of a domain (RFC 5890, 2.3.2.1), or the domain itself when it has none.

    Args:
        name: A domain as `domain` returns it.
    """
    if "xn--" not in name:
        return name
    try:
        return idna.decode(name)
    except (idna.IDNAError, UnicodeError):
        return name


def user(text: str) -> str | None:
    """Return the user name of a mailbox in all local domains, or None when it is none.

    It is the local part of the user's addresses and the name of his folder on the store.

    Args:
        text: A name in any case.

    Returns:
        Up to 64 characters of `a-z`, `0-9`, `_`, `-` and single dots; no dot at an end and no hyphen at the start.
    """
    name = intern(text.lower())  # mostly the name of the object as well
    return name if len(name) <= _LONGEST_LOCAL and _USER.fullmatch(name) else None


def bound(user: str, domain: str) -> str:
    """Return the user name of a mailbox in one domain, `user@domain`, which is also its address.

    Args:
        user: A local part as `user` returns it.
        domain: A domain as `domain` returns it.
    """
    return f"{user}@{domain}"


def mailbox(name: str, host: str | None) -> str | None:
    """Return the user name of a mailbox, or None when it is none.

    Args:
        name: The local part, in any case.
        host: The domain of the mailbox in any form; None for a mailbox in all local domains.

    Returns:
        `user`, or `user@domain` of up to LONGEST_USER characters.
    """
    local = user(name)
    if local is None or host is None:
        return local
    found = domain(host)
    whole = bound(local, found) if found is not None and not reserved(found) else None
    return whole if whole is not None and len(whole) <= LONGEST_USER else None


def local_of(user: str) -> str:
    """Return the local part of a user name: all of it, or what is before its `@`."""
    return user.partition("@")[0]


def domain_of(user: str) -> str:
    """Return the domain of a user name; "" for a user in all local domains."""
    return user.partition("@")[2]


def local_part(text: str) -> str | None:
    """Return a local part in lower case without its `+tag`, or None when it is none.

    Args:
        text: A local part in any case.

    Returns:
        A dot-atom (RFC 5322, 3.2.3) of up to 64 ASCII characters; quoted local parts have no normal form.
    """
    name = text.lower().partition(DELIMITER)[0]
    return name if len(name) <= _LONGEST_LOCAL and _LOCAL.fullmatch(name) else None


def canonical(user: str) -> str:
    """Return the one address under which the mail of a mailbox is delivered inside the platform.

    A `@` in the user name becomes `=`, which no other user name has, so that no two users share an address.

    Args:
        user: A user name, with its domain if it is bound to one.
    """
    return f"{user.replace('@', _AT)}@{MAILBOX_DOMAIN}"


def mailbox_user(address: str) -> str | None:
    """Return the user name for an address made by `canonical`; None for any other address."""
    user, _, domain = address.rpartition("@")
    return user.replace(_AT, "@") if domain == MAILBOX_DOMAIN else None


def bounded(name: str, longest: int) -> str:
    """Return a name that is no longer than a limit.

    A longer name is cut and gets a hash at its end, so that different names stay different.

    Args:
        longest: Characters; more than 17, since hash and hyphen take 17.
    """
    if len(name) <= longest:
        return name
    mark = blake2b(name.encode(), digest_size=8).hexdigest()
    return f"{name[: longest - len(mark) - 1].rstrip('.-')}-{mark}"


def reserved(name: str) -> bool:
    """Return whether a domain is reserved for mail inside the platform.

    Args:
        name: A domain as `domain` returns it.
    """
    return name.endswith(RESERVED)


def shard(name: str) -> int:
    """Return the number of the directory shard for a name, 0 to 63; it is the same in all versions of the operator.

    Args:
        name: A local part, for its addresses, or a user name, for its mailbox.
    """
    return int.from_bytes(blake2b(name.lower().encode(), digest_size=8).digest()) % SHARDS


def store(user: str, count: int) -> int:
    """Return the number of the store on which a new mailbox is placed, from 0 to `count - 1`.

    Args:
        user: A user name.
        count: Number of stores that take new mailboxes, at least 1.
    """
    return int.from_bytes(blake2b(user.encode(), digest_size=8, person=b"store").digest()) % count
