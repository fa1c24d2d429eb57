"""What the worker knows of its namespace, and what a second look at the world finds that it missed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from postboat.controller.planner import Planner
from postboat.controller.watch.change_buffer import NamespaceCache
from postboat.model.snapshot import Gone, SecretContent
from tests.golden import world

ANNA, BERT = world.resource("Mailbox", "anna", {}), world.resource("Mailbox", "bert", {})


def test_a_second_look_finds_only_what_was_missed() -> None:
    cache = NamespaceCache()
    cache.update([ANNA, BERT])
    assert cache.missed([ANNA, replace(BERT, status={"store": 1})]) == [], "a status is no decision"
    changed, new = replace(ANNA, generation=2), world.resource("Mailbox", "carl", {})
    assert cache.missed([changed, new]) == [Gone("Mailbox", "bert"), changed, new]
    assert cache.missed([replace(ANNA, uid="made again"), BERT]) == [replace(ANNA, uid="made again")]


def test_a_second_look_sees_that_a_certificate_has_ended_and_decides_nothing_else_anew() -> None:
    server = world.server(tls={"secretName": "public"})
    data = {"tls.crt": world.key("renewed.crt"), "tls.key": world.key("renewed.key")}
    own = (world.internal("mail", "mail"), world.self_signed("mail", "mail"))
    secrets = {content.name: content for content in own}
    secrets["public"] = SecretContent("mail", "public", exists=True, data=data, type="kubernetes.io/tls")
    planner = Planner()
    first = planner.begin(world.of(server, [ANNA, BERT], secrets))
    assert first.plan.verdicts["MailServer", "mail"].accepted
    planner.take_touched()
    late = world.NOW + timedelta(days=36500)
    same = planner.update((), late)
    assert same is not None
    assert same.plan.verdicts["MailServer", "mail"].accepted, "nobody has looked at the date"
    again = planner.update((), late, dates=True)
    assert again is not None
    assert not again.plan.verdicts["MailServer", "mail"].accepted
    assert planner.take_touched() == {("MailServer", "mail")}


def test_a_status_alone_touches_nothing_and_is_known() -> None:
    cache = NamespaceCache()
    assert cache.update([ANNA, BERT]) == {("Mailbox", "anna"), ("Mailbox", "bert")}
    written = replace(ANNA, status={"store": 1})
    assert cache.update([written]) == set()
    assert cache.resources["Mailbox", "anna"] is written
    assert cache.update([replace(written, generation=2)]) == {("Mailbox", "anna")}
