"""Which decisions are made again when a fact is different."""

from __future__ import annotations

from postboat.model.incremental import Ledger


def test_a_reader_is_found_until_it_reads_something_else() -> None:
    ledger: Ledger[str] = Ledger()
    ledger.note("anna", {"a", "b"})
    assert ledger.readers({"a"}) == ledger.readers({"a", "b"}) == {"anna"}
    ledger.note("anna", {"b", "c"})
    assert ledger.readers({"a"}) == set()
    assert ledger.readers({"c"}) == {"anna"}
    ledger.note("anna", ())
    assert ledger.readers({"b", "c"}) == set()


def test_several_readers_of_a_fact_come_and_go() -> None:
    ledger: Ledger[str] = Ledger()
    for name in ("anna", "bert", "carl"):
        ledger.note(name, {"a"})
    ledger.note("anna", {"a", "b"})
    assert ledger.readers({"a"}) == {"anna", "bert", "carl"}
    ledger.note("bert", ())
    ledger.note("carl", ())
    assert ledger.readers({"a"}) == {"anna"}
    ledger.note("dora", {"a"})
    assert ledger.readers({"a"}) == {"anna", "dora"}
    ledger.note("anna", ())
    ledger.note("dora", ())
    assert ledger.readers({"a", "b"}) == set()
