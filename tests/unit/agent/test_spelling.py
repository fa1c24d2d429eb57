"""Folders that were made before dots could be in a name keep their mail."""

from pathlib import Path

from postboat.agent.mailstore.spelling import respell


def test_a_tilde_below_another_folder_is_spelled_as_dovecot_looks_for_it(tmp_path: Path) -> None:
    maildir = tmp_path / "alice" / "Maildir"
    before = (".a.~b", ".INBOX.~y.~z", ".a~b", ".x^y", ".Work", "cur")
    for name in before:
        (maildir / name).mkdir(parents=True)
    (maildir / ".a.~b" / "message").touch()
    (tmp_path / "nothing-yet").mkdir()
    (tmp_path / ".public" / "mail" / ".a.~b").mkdir(parents=True)
    respell(tmp_path)
    after = {".a.\x017eb", ".INBOX.\x017ey.\x017ez", ".a~b", ".x^y", ".Work", "cur"}
    assert {path.name for path in maildir.iterdir()} == after
    assert (maildir / ".a.\x017eb" / "message").exists()
    assert (tmp_path / ".public" / "mail" / ".a.~b").exists()


def test_it_is_done_once(tmp_path: Path) -> None:
    respell(tmp_path)
    (tmp_path / "alice" / "Maildir" / ".a.~b").mkdir(parents=True)
    respell(tmp_path)
    assert (tmp_path / "alice" / "Maildir" / ".a.~b").exists()


def test_what_is_in_the_way_is_left_alone(tmp_path: Path) -> None:
    for name in (".a.~b", ".a.\x017eb"):
        (tmp_path / "alice" / "Maildir" / name).mkdir(parents=True)
    respell(tmp_path)
    assert (tmp_path / "alice" / "Maildir" / ".a.~b").exists()
