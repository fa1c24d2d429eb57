"""Mailboxes as the operator and the stores tell of them: usage, the folder of their mail, orphans, what is erased.

Where nothing else is said the first store of the platform is the one that is asked.
"""

from __future__ import annotations

from e2e.clients import letter
from e2e.kube import GROUP, Object, eventually
from e2e.platform import Platform, manifest

FINALIZER = "postboat.dev/erase-mail"


def mailbox(platform: Platform, name: str) -> Object:
    found = platform.kube.get(GROUP, "Mailbox", platform.namespace, name)
    assert found is not None, f"no Mailbox {name}"
    return found


def usage(platform: Platform, name: str) -> dict[str, int]:
    return dict((mailbox(platform, name).get("status") or {}).get("usage") or {})


def orphan(platform: Platform, user: str) -> Object | None:
    """The entry of a user among the orphans of the MailServer."""
    server = platform.kube.get(GROUP, "MailServer", platform.namespace, platform.name)
    assert server is not None
    listed = (server.get("status") or {}).get("orphans") or []
    return next((one for one in listed if one["username"] == user), None)


def deliver(platform: Platform, user: str, body: str = "Dear reader,\n") -> str:
    message = letter("stranger@outside.test", f"{user}@example.test", body=body)
    with platform.smtp() as session:
        session.send_message(message)
    return str(message["Message-ID"])


def on_store(platform: Platform, *command: str) -> str:
    """The output of a command in the first store."""
    return platform.kube.exec(platform.namespace, f"{platform.name}-store-0", "dovecot", command)


def folder_there(platform: Platform, user: str) -> bool:
    script = f"import os; print('there' if os.path.exists('/srv/mail/{user}') else 'gone')"
    return on_store(platform, "python3", "-c", script).strip() == "there"


def trash(platform: Platform) -> str:
    return on_store(platform, "ls", "/srv/mail/.postboat/trash").strip()


def events_of(platform: Platform, name: str, reason: str) -> list[str]:
    found = platform.kube.objects("events.k8s.io/v1", "Event", platform.namespace)
    return [one["note"] for one in found if one["regarding"]["name"] == name and one["reason"] == reason]


def store_of(platform: Platform, user: str) -> int:
    """The number of the store on which a Mailbox lives."""
    return int(mailbox(platform, user)["status"]["store"])


def stores(platform: Platform) -> int:
    """How many stores are asked of Kubernetes."""
    found = platform.kube.get("apps/v1", "StatefulSet", platform.namespace, f"{platform.name}-store")
    assert found is not None
    return int(found["spec"]["replicas"])


def orphans(platform: Platform) -> dict[str, int]:
    """Whose mail is kept though there is no Mailbox, and on which store."""
    server = platform.kube.get(GROUP, "MailServer", platform.namespace, platform.name)
    assert server is not None
    return {one["username"]: int(one["store"]) for one in (server.get("status") or {}).get("orphans") or []}


def erase(platform: Platform, user: str) -> None:
    """Delete a Mailbox with its mail."""

    def held() -> bool:
        found = platform.kube.get(GROUP, "Mailbox", platform.namespace, user)
        return found is not None and FINALIZER in (found["metadata"].get("finalizers") or [])

    eventually(held, "the finalizer")
    platform.remove_mailbox(user)
    eventually(lambda: platform.kube.get(GROUP, "Mailbox", platform.namespace, user) is None, "it goes")


def freed(platform: Platform, kept: int) -> bool:
    """Erase the mail of nobody beyond the first stores, and tell whether the others have gone."""
    for user, store in orphans(platform).items():
        if store >= kept:
            platform.kube.apply(manifest("Mailbox", platform.namespace, user, {"reclaimPolicy": "Delete"}))
            erase(platform, user)
    return stores(platform) == kept
