"""Metrics of the process and the machine, every five seconds, and nothing where they are not."""

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.clock import Clock
from rnnr import Event, Runner
from rnnr.recording import Record, Tail
from rnnr.reporting import Report, _reports, _system, reports
from rnnr.reporting._gpus import Gpus
from rnnr.reporting._system import System

MEMINFO = "MemTotal:       1000 kB\nMemFree:  100 kB\nMemAvailable:    250 kB\nHugePages_Total: 0\n"


def nothing() -> dict[str, float]:
    return {}


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "statm").write_text("900 500 3 4 0 5 0\n")
    (tmp_path / "meminfo").write_text(MEMINFO)
    (tmp_path / "stat").write_text("cpu  10 0 10 70 10 0 0 0 0 0\ncpu0 1 2 3\n")
    return tmp_path


def test_linux_tells_of_the_process_and_the_machine(
    proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, taken = Clock(), iter([1.0, 8.5])
    monkeypatch.setattr("time.process_time", lambda: next(taken))
    system = System(clock, proc, nothing)
    memory = 500 * os.sysconf("SC_PAGE_SIZE") / 1e6
    always = {"system/memory_mb": memory, "system/machine_memory_percent": 75.0}
    assert system.sample() == always
    (proc / "stat").write_text("cpu  40 0 30 110 20 0 0 0 0 0\n")
    clock.take(5.0)
    assert system.sample() == {
        **always,
        "system/cpu_percent": 150.0,
        "system/machine_cpu_percent": 50.0,
    }


def test_a_sample_is_taken_every_five_seconds(proc: Path) -> None:
    clock = Clock()
    system = System(clock, proc, nothing)
    taken = []
    for _ in range(12):
        taken.append(bool(system.sample()))
        clock.take(1.0)
    assert taken == [True, False, False, False, False] * 2 + [True, False]


def test_what_cannot_be_read_is_left_out(proc: Path) -> None:
    def broken() -> dict[str, float]:
        raise OSError

    clock = Clock()
    (proc / "meminfo").unlink()
    system = System(clock, proc, broken)
    assert system.sample() == {}
    clock.take(5.0)
    assert system.sample().keys() == {"system/cpu_percent"}


def test_a_counter_that_goes_back_has_no_share(proc: Path) -> None:
    clock = Clock()
    system = System(clock, proc, nothing)
    system.sample()
    (proc / "stat").write_text("cpu  1 0 1 1 1 0 0 0 0 0\n")
    clock.take(5.0)
    assert "system/machine_cpu_percent" not in system.sample()


@pytest.mark.parametrize("platform", ["darwin", "freebsd"])
def test_elsewhere_the_standard_library_tells_what_it_knows(
    platform: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("resource")
    monkeypatch.setattr(sys, "platform", platform)
    system = System(Clock(), tmp_path, nothing)
    assert system.sample().keys() == {"system/most_memory_mb", "system/machine_load_percent"}
    monkeypatch.setattr(_system, "resource", None)
    monkeypatch.delattr(os, "getloadavg")
    assert System(Clock(), tmp_path, nothing).sample() == {}


class Driver:
    """A driver with two GPUs, the second of which tells little."""

    def __init__(self, *, starts: bool = True) -> None:
        self._starts = starts

    def nvmlInit_v2(self) -> int:  # noqa: N802  (the driver's name)
        return 0 if self._starts else 9

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
        count._obj.value = 3
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, i: Any, handle: Any) -> int:  # noqa: N802
        handle._obj.value = i.value + 1
        return 4 if i.value == 2 else 0

    def nvmlDeviceGetUtilizationRates(self, handle: Any, found: Any) -> int:  # noqa: N802
        found._obj.gpu = 40 + handle.value
        return 0 if handle.value == 1 else 3

    def nvmlDeviceGetMemoryInfo(self, handle: Any, found: Any) -> int:  # noqa: N802
        found._obj.used = 5_000_000 * handle.value
        return 0 if handle.value == 1 else 3


def test_gpus_are_told_if_their_driver_is_there(proc: Path) -> None:
    assert Gpus(Driver).sample() == {"gpu0_percent": 41.0, "gpu0_memory_mb": 5.0}
    assert Gpus(lambda: Driver(starts=False)).sample() == {}
    assert Gpus(lambda: ctypes.CDLL("no_such_library.so")).sample() == {}
    system = System(Clock(), proc, Gpus(Driver).sample)
    assert system.sample()["system/gpu0_percent"] == 41.0


class Seldom(System):
    def __init__(self) -> None:
        super().__init__(Clock(), Path("/no/such/folder"), lambda: {"gpu0_percent": 1.0})


def test_they_are_in_the_reports_of_a_run_that_is_not_inside_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_reports, "System", Seldom)
    outer, inner = Runner(), Runner()
    seen: dict[str, list[Report]] = {"outer": [], "inner": []}
    reports(outer, system=True).subscribe(seen["outer"].append)
    reports(inner, system=True).subscribe(seen["inner"].append)
    outer.on(Event.BATCH, lambda _: inner.run([1]))
    outer.run([1, 2])
    told = [r.event for r in seen["outer"] if "system/gpu0_percent" in r.metrics]
    assert told == [Event.STARTED]
    assert not any(r.metrics for r in seen["inner"])


@pytest.mark.parametrize("system", [False, True])
def test_a_recording_has_them_if_it_is_asked_for(tmp_path: Path, *, system: bool) -> None:
    runner, path = Runner(), tmp_path / "run.jsonl"
    with Record(path, system=system).attach_on(runner):
        runner.run("ab")
    names = {name for report in Tail(path).read() for name in report.metrics}
    assert any(name.startswith("system/") for name in names) is system
