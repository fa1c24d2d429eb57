"""How much memory the operator has left: read from both versions of control groups, and told once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from postboat.controller.process.memory import Alarm, MemoryWatch, Usage, usage

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


def version_2(root: Path, limit: str) -> None:
    (root / "memory.current").write_text(f"{500 * MIB}\n")
    (root / "memory.max").write_text(f"{limit}\n")
    (root / "memory.stat").write_text(f"anon {300 * MIB}\ninactive_file {100 * MIB}\n")


def version_1(root: Path, limit: int) -> None:
    root /= "memory"
    root.mkdir()
    (root / "memory.usage_in_bytes").write_text(f"{500 * MIB}\n")
    (root / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (root / "memory.stat").write_text(f"inactive_file 0\ntotal_inactive_file {100 * MIB}\n")


def test_usage_is_what_cannot_be_dropped(tmp_path: Path) -> None:
    version_2(tmp_path, str(800 * MIB))
    assert usage(tmp_path) == Usage(400 * MIB, 800 * MIB)
    assert Usage(400 * MIB, 800 * MIB).part == pytest.approx(0.5)


def test_usage_is_read_from_version_1(tmp_path: Path) -> None:
    version_1(tmp_path, 800 * MIB)
    assert usage(tmp_path) == Usage(400 * MIB, 800 * MIB)


def test_no_limit_is_no_limit(tmp_path: Path) -> None:
    version_2(tmp_path, "max")
    assert usage(tmp_path) == Usage(400 * MIB)
    assert Usage(400 * MIB).part == 0.0


def test_the_largest_number_of_version_1_is_no_limit(tmp_path: Path) -> None:
    version_1(tmp_path, 9223372036854771712)
    assert usage(tmp_path) == Usage(400 * MIB)


def test_without_a_control_group_nothing_is_known(tmp_path: Path) -> None:
    assert usage(tmp_path) is None


def test_the_alarm_names_the_cure_once() -> None:
    alarm = Alarm()
    assert alarm.warning(Usage(85 * MIB, 100 * MIB)) == ""
    said = alarm.warning(Usage(86 * MIB, 100 * MIB))
    assert "uses 86 MiB of the 100 MiB" in said
    assert "resources.limits.memory" in said
    assert alarm.warning(Usage(90 * MIB, 100 * MIB)) == ""
    assert alarm.warning(Usage(84 * MIB, 100 * MIB)) == ""
    assert alarm.warning(Usage(90 * MIB, 100 * MIB)) == "", "it was never far from the limit"
    assert alarm.warning(Usage(79 * MIB, 100 * MIB)) == ""
    assert alarm.warning(Usage(90 * MIB, 100 * MIB)) != ""


def test_the_alarm_is_silent_without_a_limit() -> None:
    assert Alarm().warning(Usage(90 * MIB)) == ""


def test_the_watch_warns() -> None:
    said: list[str] = []
    watch: MemoryWatch

    def warn(text: str) -> None:
        said.append(text)
        watch.stop()

    watch = MemoryWatch(lambda: 0, warn, read=lambda: Usage(99 * MIB, 100 * MIB), period=0.01)
    watch.start()
    watch.join(10)
    assert len(said) == 1
