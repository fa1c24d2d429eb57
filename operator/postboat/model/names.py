"""Names of mail: addresses, domains and users in the one form in which they are compared.

Domains are A-labels in lower case, local parts lower case without their `+tag`; what has no such form is None.
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
"""The master user, as in `john*root`."""
EDGE_LOGIN: Final = ".edge"
VISITOR_LOGIN: Final = ".visitor"
"""Technical logins at stores, of edges and of other stores, by names that no user can have: Dovecot takes `edge*edge`
for the user himself, who could never read his mail."""
SHARDS: Final = 64
"""Count of the directory shards; fixed for ever, since it decides where a row lives."""
RESERVED: Final = ".invalid"
"""No domain of this kind ever exists (RFC 2606), so nobody can own an address that only the platform uses."""
MAILBOX_DOMAIN: Final = "mailbox.invalid"
COPY_DOMAIN: Final = "copy.invalid"
LIST_DOMAIN: Final = "list.invalid"
POSTMASTER_DOMAIN: Final = "postmaster.invalid"
UNICODE_DOMAIN: Final = "unicode.invalid"
"""Stands for every domain that only its A-labels can tell from another one."""
SCRIPTS: Final = f"scripts@{MAILBOX_DOMAIN}"
"""Who hands in what the stores send, in the eyes of the filter; no user can have that name."""
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
"""Characters of the name of a user with his domain: it is a folder, and file systems allow 255 with marks of ours."""
_LONGEST_DOMAIN: Final = 255
"""Octets of a domain in SMTP (RFC 5321, 4.5.3.1.2)."""


@lru_cache(maxsize=4096)
def domain(text: str) -> str | None:
    """Normalise a domain to A-labels in lower case."""
    try:
        name = text.rstrip(".").lower() if text.isascii() else idna.encode(text.rstrip("."), uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return None
    return name if _A_DOMAIN.fullmatch(name) else None


@lru_cache(maxsize=4096)
def spellings(name: str) -> tuple[str, ...]:
    """Give every form of a normalised domain that Postfix has to know: A-labels, and U-labels where they differ.

    Postfix folds the case of what it looks up: a form that is another domain then, like one with a sharp s, is none.
    """
    form = unicode(name)
    fits = len(form.encode()) <= _LONGEST_DOMAIN  # a longer one comes over no SMTP, and is no key of LMDB (511)
    return tuple(sorted({name, form})) if fits and form.casefold() == form else (name,)


@lru_cache(maxsize=4096)
def unicode(name: str) -> str:
    """Give the U-labels of a normalised domain; one without any is its own form (RFC 5890, 2.3.2)."""
    if "xn--" not in name:
        return name
    try:
        return idna.decode(name)
    except (idna.IDNAError, UnicodeError):
        return name


def user(text: str) -> str | None:
    """Normalise the name of a user in all domains, which is also the name of a folder on the store."""
    name = intern(text.lower())  # mostly the name of the object as well
    return name if len(name) <= _LONGEST_LOCAL and _USER.fullmatch(name) else None


def bound(user: str, domain: str) -> str:
    """Give the user name of a mailbox that is in one domain: its address, with A-labels."""
    return f"{user}@{domain}"


def mailbox(name: str, host: str | None) -> str | None:
    """Give the user name of a mailbox called `name`, in the domain `host` or (None) in all of them."""
    local = user(name)
    if local is None or host is None:
        return local
    found = domain(host)
    whole = bound(local, found) if found is not None and not reserved(found) else None
    return whole if whole is not None and len(whole) <= LONGEST_USER else None


def local_of(user: str) -> str:
    """Give the local part of the addresses of a user."""
    return user.partition("@")[0]


def domain_of(user: str) -> str:
    """Give the one domain that a user is in, empty for one in all of them."""
    return user.partition("@")[2]


def local_part(text: str) -> str | None:
    """Normalise a local part and drop its tag, since a tag names a folder and nobody of its own."""
    name = text.lower().partition(DELIMITER)[0]
    return name if len(name) <= _LONGEST_LOCAL and _LOCAL.fullmatch(name) else None


def address(text: str) -> str | None:
    """Normalise a whole address."""
    local, at, host = text.rpartition("@")
    local_form, domain_form = local_part(local), domain(host)
    return f"{local_form}@{domain_form}" if at and local_form and domain_form else None


def canonical(user: str) -> str:
    """Give the one address under which the mail of a mailbox is delivered, whatever it was sent to.

    No name of a user in all domains has the character that stands for the @, so no two users have one address.
    """
    return f"{user.replace('@', _AT)}@{MAILBOX_DOMAIN}"


def mailbox_user(address: str) -> str | None:
    """Give the user whose mailbox an address stands for, None for every other address."""
    user, _, domain = address.rpartition("@")
    return user.replace(_AT, "@") if domain == MAILBOX_DOMAIN else None


def bounded(name: str, longest: int) -> str:
    """Shorten a name for use in another one: what is longer ends in a hash, so that no two become one."""
    if len(name) <= longest:
        return name
    mark = blake2b(name.encode(), digest_size=8).hexdigest()
    return f"{name[: longest - len(mark) - 1].rstrip('.-')}-{mark}"


def reserved(name: str) -> bool:
    """Whether a normalised domain is one of those that mail inside the platform travels under."""
    return name.endswith(RESERVED)


def shard(name: str) -> int:
    """Tell the directory shard of the addresses of a local part, or of the mailbox of a user, whatever the version."""
    return int.from_bytes(blake2b(name.lower().encode(), digest_size=8).digest()) % SHARDS


def store(user: str, count: int) -> int:
    """Tell the store pod on which a new mailbox of this user name is placed."""
    return int.from_bytes(blake2b(user.encode(), digest_size=8, person=b"store").digest()) % count
