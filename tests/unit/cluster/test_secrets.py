"""The rotation of Secrets: the many never keep the few waiting, and a fresh read counts."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import TYPE_CHECKING

from postboat.cluster import secrets
from postboat.cluster.secrets import Rhythm, SecretCache
from postboat.cluster.types import Json, Key, ResourceType
from postboat.model.snapshot import SecretContent

if TYPE_CHECKING:
    import pytest

MAIL = Key("ns", "mail")


class Server:
    """Holds Secrets by name."""

    def __init__(self, *names: str) -> None:
        self.words = dict.fromkeys(names, "old")

    def get(self, _kind: ResourceType, namespace: str, name: str) -> Json | None:
        if name not in self.words:
            return None
        data = {"password": b64encode(self.words[name].encode()).decode()}
        return {"metadata": {"namespace": namespace, "name": name, "resourceVersion": "7"}, "data": data}


def cache(server: Server, **rhythm: float) -> SecretCache:
    return SecretCache(server, lambda _: None, rhythm=Rhythm(**rhythm))  # type: ignore[arg-type] - it only ever reads


def test_a_missing_secret_does_not_wait_for_a_thousand_others() -> None:
    server = Server("certificate", *(f"s{number}" for number in range(1000)))
    held = cache(server, missing=0, important=0, ordinary=0)
    names = frozenset({*server.words, "missing"})
    held.demand(MAIL, names, ["certificate"])
    held.read("ns", names)
    seen = []
    for _ in range(8):
        key = held._due(1e12)
        assert key is not None
        seen.append(key.name)
        held._keep(held._fetch(key), tell=False)
    assert sum(name in {"certificate", "missing"} for name in seen) == 4
    assert {"certificate", "missing"} <= set(seen)


def test_a_fresh_read_counts_although_the_watch_has_not_shown_it_yet() -> None:
    server = Server("mail-internal")
    held = cache(server)
    old = held.read("ns", ["mail-internal"])["mail-internal"]
    held.noticed(Key("ns", "mail-internal"), None, old)
    server.words["mail-internal"] = "new"
    assert held.read("ns", ["mail-internal"])["mail-internal"].data == {"password": b"old"}
    assert held.read("ns", ["mail-internal"], anew=True)["mail-internal"].data == {"password": b"new"}


def test_a_secret_that_the_watch_showed_before_it_was_demanded_is_watched() -> None:
    server = Server("s0", "s1")
    told: list[SecretContent] = []
    held = SecretCache(server, told.append)  # type: ignore[arg-type] - it only ever reads
    first = replace(held._fetch(Key("ns", "s0")), version="7")
    newer = replace(first, data={"password": b"newer"}, version="9")
    held.noticed(Key("ns", "s0"), None, first)
    held.noticed(Key("ns", "s0"), first, newer)
    held.demand(MAIL, frozenset({"s0", "s1"}))
    read = held.read("ns", ["s0", "s1"])
    assert read["s0"].data == {"password": b"newer"}, "the read began before the change that the watch has shown"
    assert held._due(1e12) == Key("ns", "s1")
    assert held._due(1e12) is None, "what is watched is not polled"
    last = replace(first, data={"password": b"last"}, version="11")
    held.noticed(Key("ns", "s0"), newer, last)
    assert told == [last]
    held.noticed(Key("ns", "s0"), last, None)
    assert held._due(1e12) == Key("ns", "s0"), "without the label it is polled again"


def test_a_long_read_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "SLICE", 10)
    beats: list[int] = []
    names = [f"s{number}" for number in range(35)]
    held = cache(Server(*names))
    assert len(held.read("ns", names, beat=lambda: beats.append(1))) == 35
    assert len(beats) == 4


def test_an_absent_secret_is_a_fact() -> None:
    assert cache(Server()).read("ns", ["x"]) == {"x": SecretContent("ns", "x", exists=False, data={}, type="")}
