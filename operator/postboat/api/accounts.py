"""Where accounts come from besides Mailbox objects: an LDAP directory, and Kerberos for single sign-on.

Both are part of a MailServer (`accounts`).
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from postboat.api.base import Model, Rule
from postboat.api.listing import AS_SET
from postboat.api.values import LINE, HostName, Quantity, SecretKeyRef

DirectoryUrl = Annotated[str, StringConstraints(pattern=r"^ldaps?://[0-9A-Za-z.:\[\]-]+$", max_length=253)]
DistinguishedName = Annotated[str, StringConstraints(pattern=LINE, min_length=1, max_length=512)]
DirectoryFilter = Annotated[str, StringConstraints(pattern=r"^\([^\p{Cc}]*\)$", max_length=1024)]
Attribute = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]*$", max_length=64)]
Realm = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]([A-Z0-9.-]*[A-Z0-9])?$", max_length=253)]


class DirectoryKind(StrEnum):
    """How the directory names users and groups."""

    RFC2307 = "RFC2307"
    ACTIVE_DIRECTORY = "ActiveDirectory"


class DirectoryTls(StrEnum):
    """How the connection to the directory is protected."""

    NONE = "None"
    START_TLS = "StartTLS"
    TLS = "TLS"


class Ldap(Model):
    """An LDAP directory or Active Directory with users and groups."""

    urls: Annotated[tuple[DirectoryUrl, ...], Field(min_length=1, max_length=8), AS_SET]
    """Servers, like ldaps://dc1.example.com; they are tried in turn."""
    kind: DirectoryKind | None = None
    """RFC2307 (OpenLDAP and the like) or ActiveDirectory; RFC2307 when absent. It chooses filters and attributes."""
    tls: DirectoryTls | None = None
    """TLS for ldaps, StartTLS or None for ldap; when absent TLS for ldaps and StartTLS for ldap."""
    ca_secret: SecretKeyRef | None = None
    """Certificates (PEM) of the authority that signed the directory's certificate; public ones when absent."""
    base_dn: DistinguishedName
    """Where the search begins, like dc=example,dc=com."""
    bind_dn: DistinguishedName | None = None
    """Account that searches; anonymous when absent."""
    bind_password_secret: SecretKeyRef | None = None
    """Secret with the password of that account."""
    user_base_dn: DistinguishedName | None = None
    """Where the search for users begins; baseDN when absent."""
    group_base_dn: DistinguishedName | None = None
    """Where the search for groups begins; baseDN when absent."""
    user_filter: DirectoryFilter | None = None
    """Which entries are users, when not the usual ones."""
    group_filter: DirectoryFilter | None = None
    """Which entries are groups, when not the usual ones."""
    user_attribute: Attribute | None = None
    """Attribute with the user name; uid, or sAMAccountName in an Active Directory, when absent."""
    member_attribute: Attribute | None = None
    """Attribute with the members of a group; memberUid, or member in an Active Directory, when absent."""
    quota: Quantity | None = None
    """Space for mail of each user of the directory; that of the MailServer's mailboxes when absent."""

    constraints = (
        Rule(
            cel="has(self.bindDN) == has(self.bindPasswordSecret)",
            message="write bindDN and bindPasswordSecret together, or neither for an anonymous search",
            holds=lambda ldap: (ldap.bind_dn is None) == (ldap.bind_password_secret is None),
            field="bindDN",
        ),
    )


class Kerberos(Model):
    """Single sign-on with Kerberos tickets (GSSAPI) on IMAP, POP3 and SMTP."""

    keytab_secret: SecretKeyRef
    """Secret with the keytab that holds the principals imap/HOST, pop/HOST and smtp/HOST."""
    host_name: HostName | None = None
    """HOST of the principals; the host name of the MailServer when absent."""
    realm: Realm | None = None
    """Realm, like EXAMPLE.COM; found in the DNS when absent."""
    kdcs: Annotated[tuple[HostName, ...], Field(max_length=8), AS_SET] = ()
    """Key distribution centres of the realm; found in the DNS when absent."""


class Accounts(Model):
    """Where accounts come from besides Mailbox objects."""

    ldap: Ldap | None = None
    """An LDAP directory or Active Directory."""
    kerberos: Kerberos | None = None
    """Single sign-on with Kerberos tickets."""
