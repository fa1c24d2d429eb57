"""Public mailboxes and shared folders: ACLs, namespaces, and how users of other stores reach the first store.

For its owners a public mailbox is a folder of the namespace `Public/`; for delivery it is the inbox of a user of its
own. A user whose mailbox is on another store reaches the first store by IMAP, under his own name and restricted to this
namespace.
"""

from collections.abc import Mapping
from typing import Final

from postboat.model import names
from postboat.model.platform import PUBLIC_STORE, Account, Platform, PublicMailbox
from postboat.render import escape
from postboat.render.files import File
from postboat.render.template import ACTIVE, TABLES

COLUMNS: Final = ("groups", "store", "public", "creator")
"""Columns of the table of the store's users that this module fills."""
ROOT: Final = "/srv/mail/.public"
"""Folder of public mailboxes on the volume. No user name begins with a dot, so no mailbox of a user is here."""

_READ: Final = "lrs"
_WRITE: Final = "lrswtipek"
_FULL: Final = "lrswtipeka"
_RIGHTS: Final[Mapping[str, tuple[str, str]]] = {
    "Read": (_READ, _READ),
    "ReadWrite": (_WRITE, _WRITE),
    # The mailbox itself is declared: to delete or rename it is a matter of its object. Folders below belong to owners.
    "Full": (_FULL, _FULL + "x"),
}

_PUBLIC_ROW: Final = "public = 'y'"
_VISITS: Final = f"'%{{master_user}}' = '{names.VISITOR_LOGIN}'"
_AWAY: Final = f"NOT ({_VISITS}) AND public = '' AND store != '{PUBLIC_STORE}'"

# What differs from the settings of a user, each only where its condition holds; NULL leaves a setting as it is.
_DELIVERY: Final = (
    (_PUBLIC_ROW, f"'{ROOT}/home/' || user", "home"),
    (_PUBLIC_ROW, f"'{ROOT}/mail/' || user", "mail_path"),
    (_PUBLIC_ROW, f"'{ROOT}/mail/' || user", "mail_inbox_path"),
    (_PUBLIC_ROW, "'fs'", "mailbox_list_layout"),
)
# The one right at the root of public mailboxes bears the name of whoever has it: Dovecot copies it into what he makes.
_CREATION: Final = (("creator = 'y'", "'user=' || user", "namespace/public/mailbox/root/acl/creator/id"),)
_VISIT: Final = (
    (_VISITS, f"'{TABLES}/visitors.acl'", "acl_global_path"),
    (_VISITS, "'/run/dovecot/visitors/' || user", "home"),
    (_VISITS, "''", "namespace/public/prefix"),
    (_VISITS, "'yes'", "namespace/public/list"),
    (_VISITS, "'.own/'", "namespace/inbox/prefix"),
    (_VISITS, "'no'", "namespace/inbox/list"),
    (_VISITS, "'yes'", "namespace/shared/disabled"),
    (_AWAY, f"'{ACTIVE}/away.acl'", "acl_global_path"),
    (_AWAY, "'yes'", "namespace/public/disabled"),
    (_AWAY, "'no'", "namespace/away/disabled"),
)
_OTHERWISE: Final = {"home": " ELSE '/srv/mail/' || user"}
"""Nobody has a home but by his row: Dovecot would make up one for each name that a session asks for."""

# People of other stores: Dovecot 2.4.1 crashes when a folder of another server is deleted, so nobody may, and the
# inbox that every server shows is none of theirs.
_AWAY_RIGHTS: Final = b"Public/* anyone lrwstipeka\nPublic/INBOX authenticated\n"


def columns(mailbox: Account | PublicMailbox) -> tuple[str, ...]:
    """Return the values of COLUMNS for one row of the store's users, all of them text.

    Returns:
        Group names separated by commas, the number of the store, "y" for a public mailbox, "y" for a user who may
        create public mailboxes; "" where something does not apply.
    """
    if isinstance(mailbox, PublicMailbox):
        return "", str(mailbox.store), "y", ""
    # Visitors of the first store can make nothing there: its root is theirs, and Dovecot knows no rights in that.
    creator = "y" if mailbox.creator and mailbox.store == PUBLIC_STORE else ""
    return ",".join(mailbox.groups), str(mailbox.store), "", creator


def rights(mailbox: PublicMailbox) -> str:
    """Return the owners of a public mailbox as the agent's ACL driver reads them.

    Returns:
        `user=NAME:RIGHTS:RIGHTS_BELOW` or `group=NAME:...` for each owner, separated by commas; rights are letters of
        RFC 4314.
    """
    owners = (
        f"{'group' if owner.group else 'user'}={owner.user}:" + ":".join(_RIGHTS[owner.rights])
        for owner in mailbox.owners
    )
    return ",".join(owners)


def fields(platform: Platform) -> str:
    """Return the SQL columns that the userdb query of a store returns beside those of every user."""
    cases: dict[str, list[str]] = {}
    for condition, value, field in (*_DELIVERY, *_CREATION, *(_VISIT if several(platform) else ())):
        cases.setdefault(field, []).append(f"WHEN {condition} THEN {value}")
    chosen = (
        f'CASE {" ".join(choices)}{_OTHERWISE.get(field, "")} END AS "{field}"' for field, choices in cases.items()
    )
    return ", ".join(("groups AS acl_groups", *chosen))


def several(platform: Platform) -> bool:
    """Return whether there are several stores, so that a mailbox may be on another one than the public mailboxes."""
    return platform.stores.replicas > 1


def values(platform: Platform) -> dict[str, object]:
    """Return the values for the template of a store."""
    return {
        "public_root": ROOT,
        "public_rights": f"{TABLES}/public.acl",
        "creator_rights": _FULL + "x",
        "public_host": escape.dovecot(platform.store_host(PUBLIC_STORE)),
        "several": several(platform),
        "visitor": names.VISITOR_LOGIN,
    }


def files(platform: Platform) -> tuple[File, ...]:
    """Return the files by which users of other stores reach the first one; none with a single store."""
    if not several(platform):
        return ()
    password = platform.internal.master_password
    visit = f"imapc_password = {password}\n".encode()
    return (
        File("away.acl", "away.acl", _AWAY_RIGHTS),
        File("visit.conf", "visit.conf", visit, secret=True, mode="0600"),
        File("visitors", "visitors", f"{names.VISITOR_LOGIN}:{{PLAIN}}{password}\n".encode(), secret=True, mode="0600"),
    )
