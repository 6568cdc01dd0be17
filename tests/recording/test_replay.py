"""`replay`: what subscribes to a live run subscribes to a recorded one, in virtual time."""

import itertools
import threading
import tracemalloc
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta
from math import inf, isfinite, nan
from pathlib import Path
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable, abc
from reactivex import operators as ops
from reactivex.disposable import Disposable
from reactivex.scheduler import (
    CurrentThreadScheduler,
    ImmediateScheduler,
    NewThreadScheduler,
    TrampolineScheduler,
)
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.recorded import Recorded

from rnnr import Event, RnnrWarning
from rnnr.recording import replay
from rnnr.recording._format import decode, encode
from rnnr.recording._replay import paced
from rnnr.reporting import Report
from rnnr.scheduling import InPlaceScheduler

on_next: Any = ReactiveTest.on_next  # which are typed for whole seconds
on_completed: Any = ReactiveTest.on_completed


def report(n: int, seconds: float) -> Report:
    return Report(Event.BATCH, 1, 1, n, seconds, {"loss": float(n)})


def number(report: Report) -> int:
    return report.n_iters


def loss(report: Report) -> float:
    return report.metrics["loss"]


def add(total: int, report: Report) -> int:
    return total + report.n_iters


def written(path: Path, *seconds: float) -> list[Report]:
    """Write a recording of reports at these times; return them."""
    reports = [report(n, when) for n, when in enumerate(seconds, 1)]
    path.write_bytes(b"".join(map(encode, reports)))
    return reports


def told(source: Observable[Any], scheduler: TestScheduler | None = None) -> list[Recorded[Any]]:
    """Subscribe in virtual time, at 200; return what came, and when."""
    return (scheduler or TestScheduler()).start(lambda: source).messages


def values(messages: list[Recorded[Any]]) -> list[Any]:
    """Return what came before the end."""
    return [getattr(message.value, "value", None) for message in messages[:-1]]


class TestTime:
    @pytest.mark.parametrize("speed", [0.5, 1, 4.0])
    def test_reports_are_as_far_apart_as_in_the_run_divided_by_the_speed(
        self, path: Path, speed: float
    ) -> None:
        a, b, c, d = written(path, 5.0, 6.5, 6.5, 21.5)
        assert told(replay(path, speed)) == [
            on_next(200.0, a),
            on_next(200 + 1.5 / speed, b),
            on_next(200 + 1.5 / speed, c),
            on_next(200 + 16.5 / speed, d),
            on_completed(200 + 16.5 / speed),
        ]

    def test_at_once_is_at_once(self, path: Path) -> None:
        reports = written(path, 0.0, 1e9, 0.0, nan, 7.0, inf, 3.0)
        messages = told(replay(path, speed=inf))
        assert repr(values(messages)) == repr(reports)
        assert {message.time for message in messages} == {200.0}

    def test_where_the_seconds_go_back_there_is_no_wait(self, path: Path) -> None:
        written(path, 0.0, 10.0, 0.0, 2.0, 1.0, 4.0)
        times = [message.time for message in told(replay(path))]
        assert times == [200.0, 210.0, 210.0, 212.0, 212.0, 215.0, 215.0]

    def test_each_subscription_begins_at_the_beginning(self, path: Path) -> None:
        written(path, 0.0, 3.0)
        source, scheduler = replay(path), TestScheduler()
        seen: list[Any] = []
        for at in (100.0, 101.0):
            scheduler.schedule_absolute(
                at,
                lambda *_: source.subscribe(
                    lambda report: seen.append((scheduler.clock, report.n_iters)),
                    scheduler=scheduler,
                ),
            )
        scheduler.start()
        assert seen == [(100.0, 1), (101.0, 1), (103.0, 2), (104.0, 2)]

    def test_it_ends_when_it_is_disposed_of(self, path: Path) -> None:
        a, b, _ = written(path, 0.0, 3.0, 6.0)
        messages = TestScheduler().start(lambda: replay(path), disposed=204.0).messages
        assert messages == [on_next(200.0, a), on_next(203.0, b)]

    def test_it_ends_when_it_is_disposed_of_between_two_that_come_together(
        self, path: Path
    ) -> None:
        a, *_ = written(path, 0.0, 0.0, 0.0)
        assert told(replay(path).pipe(ops.take(1))) == [on_next(200.0, a), on_completed(200.0)]

    def test_an_empty_recording_completes(self, path: Path) -> None:
        path.touch()
        assert told(replay(path)) == [on_completed(200.0)]

    @given(
        st.lists(st.floats(0, 1e6) | st.sampled_from([nan, inf, -inf, 1e308])),
        st.floats(1e-3, 1e3) | st.sampled_from([1e-308, 1e308, inf]),
    )
    def test_what_is_due_when(self, seconds: list[float], speed: float) -> None:
        due = [at for at, _ in paced((report(1, when) for when in seconds), speed)]
        assert due[:1] == [0.0] * len(due[:1])
        assert all(map(isfinite, due))
        for (before, at), (a, b) in zip(
            itertools.pairwise(due), itertools.pairwise(seconds), strict=True
        ):
            assert at >= before
            wait = (b - a) / speed
            if 0 <= wait <= threading.TIMEOUT_MAX:
                assert at - before == pytest.approx(wait, rel=1e-6, abs=1e-3)
            else:
                assert at == before

    def test_no_rounding_adds_up(self) -> None:
        seconds = [0.1 * n for n in range(100_000)]
        due = [at for at, _ in paced((report(1, when) for when in seconds), 3.0)]
        assert due == [when / 3.0 for when in seconds]


def sampled(source: Observable[Report]) -> Observable[Any]:
    return source.pipe(ops.sample(2.25), ops.map(number))


OPERATORS: dict[str, Callable[[Observable[Report]], Observable[Any]]] = {
    "none": lambda source: source,
    "map": lambda source: source.pipe(ops.map(loss)),
    "take": lambda source: source.pipe(ops.take(3)),
    "take_last": lambda source: source.pipe(ops.take_last(2)),
    "start_with": lambda source: source.pipe(ops.start_with("first")),
    "pairwise": lambda source: source.pipe(ops.pairwise()),
    "scan": lambda source: source.pipe(ops.scan(add, 0)),
    "buffer_with_count": lambda source: source.pipe(ops.buffer_with_count(2)),
    "buffer_with_time": lambda source: source.pipe(ops.buffer_with_time(2.25)),
    "delay": lambda source: source.pipe(ops.delay(0.75)),
    "debounce": lambda source: source.pipe(ops.debounce(1.25)),
    "sample": sampled,
    "throttle_first": lambda source: source.pipe(ops.throttle_first(1.25)),
    "timeout": lambda source: source.pipe(ops.timeout(3.25, rx.of("too late"))),
    "flat_map": lambda source: source.pipe(ops.flat_map(lambda report: rx.of(report, "again"))),
    "repeat": lambda source: source.pipe(ops.repeat(2)),
    "merge": lambda source: rx.merge(source, source),
    "concat": lambda source: rx.concat(source, source),
    "zip": lambda source: rx.zip(source, source.pipe(ops.skip(1))),
    "share": lambda source: rx.merge(*[source.pipe(ops.share())] * 2),
    "to_list": lambda source: source.pipe(ops.to_list()),
}


class TestOperators:
    @pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside a subscription"])
    @pytest.mark.parametrize("operate", OPERATORS.values(), ids=OPERATORS)
    def test_they_give_what_they_give_for_a_cold_observable_of_reactivex(
        self, path: Path, operate: Callable[[Observable[Report]], Observable[Any]], inside: bool
    ) -> None:
        def observed(source: Observable[Report]) -> Observable[Any]:
            if not inside:
                return operate(source)
            return rx.of(0).pipe(ops.flat_map(lambda _: operate(source)))

        seconds = [0.0, 0.5, 1.5, 1.5, 4.0, 9.0]
        reports = written(path, *seconds)
        scheduler = TestScheduler()
        trusted = scheduler.create_cold_observable(
            *(on_next(at, one) for at, one in zip(seconds, reports, strict=True)), on_completed(9.0)
        )
        messages = told(observed(replay(path)))
        assert messages == told(observed(trusted), scheduler)
        assert len(messages) > 1


LIVE_SCHEDULERS: dict[str, Callable[[], abc.SchedulerBase | None]] = {
    "none": lambda: None,
    "immediate": ImmediateScheduler,
    "in place": InPlaceScheduler,
    "trampoline": TrampolineScheduler,
    "current thread": CurrentThreadScheduler.singleton,
}


class TestAtOnce:
    @pytest.mark.parametrize("make", LIVE_SCHEDULERS.values(), ids=LIVE_SCHEDULERS)
    def test_all_have_come_when_subscribe_returns(
        self, path: Path, make: Callable[[], abc.SchedulerBase | None]
    ) -> None:
        reports = written(path, 0.0, 5.0, 2.0)
        seen: list[Any] = []
        threads, here = [], threading.current_thread
        source = replay(path, inf).pipe(ops.do_action(lambda _: threads.append(here())))
        source.subscribe(seen.append, None, lambda: seen.append("end"), scheduler=make())
        assert seen == [*reports, "end"]
        assert set(threads) == {here()}

    @pytest.mark.parametrize("make", LIVE_SCHEDULERS.values(), ids=LIVE_SCHEDULERS)
    def test_take_ends_the_reading(
        self,
        path: Path,
        make: Callable[[], abc.SchedulerBase | None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        written(path, *range(2000))
        n_decoded = itertools.count()
        seen: list[int] = []

        def count(line: bytes, leave_out: Callable[[str], object]) -> Report:
            next(n_decoded)
            return decode(line, leave_out)

        monkeypatch.setattr("rnnr.recording._tail.decode", count)
        few = replay(path, inf).pipe(ops.map(number), ops.take(3))
        few.subscribe(seen.append, scheduler=make())
        assert seen == [1, 2, 3]
        assert next(n_decoded) < 300

    @pytest.mark.parametrize("make", LIVE_SCHEDULERS.values(), ids=LIVE_SCHEDULERS)
    def test_inside_a_subscription_all_come_too(
        self, path: Path, make: Callable[[], abc.SchedulerBase | None]
    ) -> None:
        written(path, 0.0, 5.0, 2.0)
        source = replay(path, inf).pipe(ops.map(number), ops.start_with(0), ops.take(3))
        seen: dict[str, list[int]] = {"a": [], "b": []}

        def inside(name: str) -> None:
            source.subscribe(seen[name].append, scheduler=make())

        rx.of(*seen).subscribe(inside)
        assert seen == {"a": [0, 1, 2], "b": [0, 1, 2]}

    def test_run_gives_the_last(self, path: Path) -> None:
        reports = written(path, 0.0, 5.0, 2.0)
        assert replay(path, inf).run() == reports[-1]

    def test_a_subscriber_that_raises_is_heard(self, path: Path) -> None:
        def fail(report: Report) -> None:
            raise ZeroDivisionError

        written(path, 0.0)
        with pytest.raises(ZeroDivisionError):
            replay(path, inf).subscribe(fail)


class TestRealTime:
    @pytest.mark.parametrize(
        "scheduler", [None, NewThreadScheduler(), InPlaceScheduler(), CurrentThreadScheduler()]
    )
    def test_it_waits_by_itself(self, path: Path, scheduler: abc.SchedulerBase | None) -> None:
        reports = written(path, 0.0, 1.0, 1.0, 2.0, 0.0, 1.0)
        seen: list[Report] = []
        ended = threading.Event()
        replay(path, speed=500).subscribe(seen.append, None, ended.set, scheduler=scheduler)
        assert ended.wait(60)
        assert seen == reports

    def test_without_a_scheduler_subscribe_does_not_wait(self, path: Path) -> None:
        written(path, 0.0, 1e6)
        came, threads = threading.Event(), []

        def note(report: Report) -> None:
            threads.append(threading.current_thread())
            came.set()

        subscription = replay(path).subscribe(note)
        assert came.wait(60)
        subscription.dispose()
        assert threading.current_thread() not in threads

    def test_what_is_due_by_the_time_it_is_scheduled_is_not_lost(self, path: Path) -> None:
        reports = written(path, 0.0, 1.0, 2.0, 3.0)

        class Late(TestScheduler):
            """Runs what is due later at once, as a timer may that is quicker than its maker."""

            def schedule_absolute(self, duetime: Any, action: Any, state: Any = None) -> Any:
                if isinstance(duetime, datetime) and not self.is_inside:
                    self.is_inside = True
                    action(self, state)
                    self.is_inside = False
                    return Disposable()
                return super().schedule_absolute(duetime, action, state)

            is_inside = False

        assert values(told(replay(path), Late())) == reports

    def test_a_clock_that_is_set_back_keeps_none_waiting_that_come_together(
        self, path: Path
    ) -> None:
        class SetBack(TestScheduler):
            """Tells an earlier time at each look."""

            n_looks = 0

            @property
            def now(self) -> datetime:
                self.n_looks += 1
                return super().now - timedelta(seconds=self.n_looks)

            def schedule_absolute(self, duetime: Any, action: Any, state: Any = None) -> Any:
                waits.append(isinstance(duetime, datetime))
                return super().schedule_absolute(duetime, action, state)

        waits: list[bool] = []
        written(path, *range(5))
        scheduler = SetBack()
        replay(path, inf).subscribe(scheduler=scheduler)
        scheduler._queue.dequeue().invoke()  # start() would look at the clock, too
        assert waits == [False]


class TestWhatIsLeftOut:
    def test_a_warning_tells_when_it_is_through(self, path: Path) -> None:
        reports = written(path, 0.0, 1.0)
        with open(path, "ab") as file:
            file.write(b"damaged\n{}\n" + encode(reports[0]) + b'{"event": "BA')
        seen: list[Any] = []
        with pytest.warns(RnnrWarning) as caught:
            replay(path, inf).subscribe(seen.append)
        assert seen == [*reports, reports[0]]
        assert [str(warning.message) for warning in caught] == [
            f"each line of '{path}' must hold a report whose metrics are numbers, got 2 damaged "
            "(line 3, 4) and a torn last line; damaged lines are skipped; a process that "
            "is killed and a full disk leave such lines"
        ]

    def test_the_numbers_are_those_of_the_first_ten(self, path: Path) -> None:
        path.write_bytes(b"damaged\n" * 11)
        with pytest.warns(RnnrWarning, match=r"got 11 damaged \(line 1, 2, .*, 10, \.\.\.\);"):
            replay(path, inf).subscribe()

    def test_a_torn_line_alone_is_told_too(self, path: Path) -> None:
        path.write_bytes(b'{"event": "BA')
        with pytest.warns(RnnrWarning, match=r"are numbers, got a torn last line;"):
            replay(path, inf).subscribe()

    def test_who_leaves_early_is_not_warned(self, path: Path) -> None:
        written(path, 0.0, 1.0)
        with open(path, "ab") as file:
            file.write(b"damaged\n")
        replay(path, inf).pipe(ops.take(1)).subscribe()

    def test_a_warning_that_is_an_error_goes_to_the_observer(self, path: Path) -> None:
        path.write_bytes(b"damaged\n")
        errors: list[Exception] = []
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            replay(path, inf).subscribe(print, errors.append)
        assert [type(error) for error in errors] == [RnnrWarning]

    def test_a_file_that_has_gone_is_an_error_for_the_observer(self, path: Path) -> None:
        written(path, 0.0)
        source = replay(path)
        errors: list[Exception] = []
        path.unlink()
        source.subscribe(print, errors.append, scheduler=ImmediateScheduler())
        assert [type(error) for error in errors] == [FileNotFoundError]


def test_a_hundred_thousand_lines_need_little_memory(path: Path) -> None:
    line = encode(report(1, 0.5))
    with open(path, "wb") as file:
        for _ in range(100):
            file.write(line * 1000)
    counts: list[int] = []
    replay(path, inf).pipe(ops.take(1)).subscribe()  # what is imported and cached by the first
    tracemalloc.start()
    try:
        replay(path, inf).pipe(ops.count()).subscribe(counts.append)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert counts == [100_000]
    assert peak < 1_000_000 < path.stat().st_size


class TestArguments:
    @pytest.mark.parametrize(
        ("place", "error", "message"),
        [
            ("missing", FileNotFoundError, "No such file or directory"),
            ("file/run.jsonl", NotADirectoryError, "Not a directory"),
            ("folder", ValueError, "path must be a file, got '.*folder'"),
        ],
    )
    def test_a_path_that_cannot_be_read_is_refused_when_it_is_given(
        self, tmp_path: Path, place: str, error: type[Exception], message: str
    ) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").touch()
        cure = r"pass the file that Record\('run.jsonl'\) has written"
        with pytest.raises(error, match=f"{message}.*; {cure}"):
            replay(tmp_path / place)

    @pytest.mark.parametrize(
        ("speed", "error"),
        [(0, ValueError), (-1.0, ValueError), (nan, ValueError), ("2", TypeError)],
    )
    def test_a_wrong_speed_is_refused_when_it_is_given(
        self, path: Path, speed: Any, error: type[Exception]
    ) -> None:
        path.touch()
        with pytest.raises(error, match=r"speed must be a number above 0, got .*; pass for exampl"):
            replay(path, speed)

    def test_what_is_no_path_is_refused(self) -> None:
        path: Any = 7
        with pytest.raises(TypeError, match="path must be a path, got 7"):
            replay(path)
