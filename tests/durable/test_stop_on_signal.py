"""`StopOnSignal`: a signal stops a run after a whole batch, and is never lost."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count, takewhile
from signal import SIGINT, SIGTERM, SIGUSR1, SIGUSR2, Signals, raise_signal
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from helpers.events import delivered, told
from helpers.faults import Boom, call_at_line, raise_
from helpers.logs import lines_of, logged
from helpers.threads import GUARD, in_thread, on_thread
from rnnr import Emission, Event, Layer, Runner, State
from rnnr.attachments import Control
from rnnr.callbacks import early_stopping
from rnnr.durable import StopOnSignal
from rnnr.event import ENDS

OURS = {"rnnr.durable._signal_handlers", "rnnr.durable._stop_on_signal"}

USED = (SIGINT, SIGTERM, SIGUSR1, SIGUSR2)


@pytest.fixture(autouse=True)
def every_handler_is_put_back() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in USED}
    yield
    after = {number: signal.getsignal(number) for number in USED}
    for number in USED:
        signal.signal(number, before[number])
    assert after == before


@contextmanager
def handled(*numbers: Signals) -> Iterator[list[int]]:
    """Handle signals as a script does that knows nothing of rnnr; yield those that came."""
    came: list[int] = []
    before = {number: signal.signal(number, lambda got, _: came.append(got)) for number in numbers}
    try:
        yield came
    finally:
        for number in numbers:
            signal.signal(number, before[number])


@pytest.fixture
def came() -> Iterator[list[int]]:
    with handled(SIGTERM, SIGUSR1) as came:
        yield came


def at_batch(n: int, action: Callable[[], object]) -> Callable[[State], None]:
    def act(state: State) -> None:
        if state["n_iters"] == n:
            action()

    return act


def stopping(*signals: int, exits: bool = False) -> Runner:
    runner = Runner()
    StopOnSignal(*signals, exit=exits).attach_on(runner)
    return runner


class TestArguments:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ("SIGTERM", r"signals\[0\] must be the number of a signal, got 'SIGTERM' \(str\); "
             r"write signal\.SIGTERM"),
            ("TERM", r"got 'TERM' \(str\); write for example signal\.SIGTERM"),
            ([SIGTERM], r"must be the number of a signal, got \[.*\] \(list\); write for example"),
            (15.0, r"must be the number of a signal, got 15\.0 \(float\)"),
            (None, r"must be the number of a signal, got None"),
        ],
    )  # fmt: skip
    def test_what_is_not_a_signal_is_refused(self, wrong: Any, message: str) -> None:
        with pytest.raises(TypeError, match=message):
            StopOnSignal(wrong)

    @pytest.mark.parametrize("unknown", [0, -1, 63, 4711])
    def test_a_number_without_a_signal_is_refused(self, unknown: int) -> None:
        message = rf"signals\[1\] must be the number of a signal, got {unknown} \(int\); write"
        with pytest.raises(ValueError, match=message):
            StopOnSignal(SIGTERM, unknown)

    @pytest.mark.parametrize("name", ["SIGKILL", "SIGSTOP", "SIGSEGV", "SIGFPE", "SIGILL"])
    def test_a_signal_that_python_cannot_handle_is_refused(self, name: str) -> None:
        message = r"signals\[0\] must be a signal that Python can handle, got .*; write for example"
        with pytest.raises(ValueError, match=message):
            StopOnSignal(Signals[name])

    def test_whether_to_exit_must_be_told_by_a_bool(self) -> None:
        message = r"exit must be True or False, got 'no' \(str\); pass exit=False where run is to"
        with pytest.raises(TypeError, match=message):
            StopOnSignal(exit="no")  # type: ignore[arg-type]

    def test_a_plain_number_is_a_signal_and_one_that_is_there_twice_counts_once(
        self, came: list[int]
    ) -> None:
        runner = stopping(int(SIGUSR1), SIGUSR1)
        runner.on(Event.BATCH, lambda _: raise_signal(SIGUSR1))
        runner.run([1, 2])
        assert (runner.state["stopped_by"], came) == ("SIGUSR1", [SIGUSR1])


class TestInstalling:
    def test_the_handlers_are_there_while_a_run_is_under_way(self) -> None:
        seen: list[bool] = []
        before = signal.getsignal(SIGTERM)
        runner = Runner()

        def look(_: object = None) -> None:
            seen.append(signal.getsignal(SIGTERM) is not before)

        StopOnSignal().attach_on(runner)
        look()
        for event in Event:
            runner.on(event, look)
        runner.run([1])
        look()
        assert seen == [False, True, True, True, True, True, False]

    @pytest.mark.parametrize("event", [*Event])
    @pytest.mark.parametrize("layer", Layer)
    def test_they_are_put_back_after_an_error_at_any_event(
        self, event: Event, layer: Layer
    ) -> None:
        runner = Runner()
        faults = [runner.stream(event).add(lambda _: 1 / 0, layer=layer)]
        StopOnSignal().attach_on(runner)
        faults += [runner.stream(event).add(lambda _: 1 / 0, layer=layer)]
        stop = runner.on(Event.BATCH, lambda _: runner.stop())
        before = signal.getsignal(SIGTERM)
        with suppress(ZeroDivisionError):
            runner.run([1])
        assert signal.getsignal(SIGTERM) is before
        stop.dispose()
        with suppress(ZeroDivisionError):
            runner.resume()
        assert signal.getsignal(SIGTERM) is before
        for fault in faults:
            fault.dispose()
        runner.run([1])

    @pytest.mark.parametrize("ask", [Runner.run, Runner.resume])
    def test_a_run_on_another_thread_is_refused_at_its_beginning(self, ask: Any) -> None:
        runner = Runner()
        runner.on(Event.BATCH.once(), lambda _: runner.stop())
        runner.run([1])
        subscription = StopOnSignal().attach_on(runner)
        story = told(runner)
        errors: list[BaseException] = []

        def run() -> None:
            try:
                ask(runner, *([[1]] if ask is Runner.run else []))
            except RuntimeError as error:
                errors.append(error)

        on_thread(run)
        assert story == ["FAILED"]
        with pytest.raises(
            RuntimeError,
            match=r"Python handles signals on the main thread: expected .*, got it on the thread "
            r"'Thread-.*'; call run or resume on the main thread .* or leave StopOnSignal out",
        ):
            raise errors[0]
        subscription.dispose()
        on_thread(runner.resume)

    def test_an_awaited_run_is_refused_because_it_is_on_another_thread(self) -> None:
        async def main() -> None:
            await stopping().observe([1])

        with pytest.raises(RuntimeError, match=r"`await runner.observe.*` takes a thread"):
            asyncio.run(main())

    def test_a_handler_that_could_not_be_put_back_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        handlers = {SIGUSR1: signal.SIG_DFL}
        runner = stopping(SIGUSR1, SIGUSR2)
        message = r"handler of SIGUSR2 could not be put back: .*, got one that was installed in C; "
        with monkeypatch.context() as patch:
            patch.setattr(signal, "getsignal", handlers.get)
            patch.setattr(signal, "signal", handlers.__setitem__)
            with pytest.raises(RuntimeError, match=message):
                runner.run([1])
        runner.run([1])

    def test_a_handler_that_was_installed_in_the_meantime_stays(self, came: list[int]) -> None:
        mine: list[int] = []
        runner = stopping()
        runner.on(Event.BATCH, lambda _: signal.signal(SIGTERM, lambda got, _: mine.append(got)))
        before = signal.getsignal(SIGTERM)
        runner.run([1])
        raise_signal(SIGTERM)
        assert (mine, came) == ([SIGTERM], [])
        signal.signal(SIGTERM, before)

    def test_a_handler_that_passes_on_to_ours_hears_of_each_signal_once(
        self, came: list[int]
    ) -> None:
        layered: list[int] = []
        runner = stopping()

        def put_another_over_it() -> None:
            ours: Any = signal.getsignal(SIGTERM)

            def other(got: int, frame: Any) -> None:
                layered.append(got)
                ours(got, frame)

            signal.signal(SIGTERM, other)

        before = signal.getsignal(SIGTERM)
        putting = runner.on(Event.BATCH, at_batch(1, put_another_over_it))
        runner.on(Event.BATCH, at_batch(2, lambda: raise_signal(SIGTERM)))
        runner.on(Event.BATCH, at_batch(2, lambda: raise_signal(SIGTERM)))
        runner.run(range(9))
        assert (runner.state["n_iters"], runner.state["stopped_by"]) == (2, "SIGTERM")
        assert (len(layered), len(came)) == (2, 2)  # the second did what it did before
        raise_signal(SIGTERM)  # without a run
        assert (len(layered), len(came)) == (3, 3)
        putting.dispose()
        runner.on(Event.BATCH, at_batch(1, lambda: raise_signal(SIGTERM)))
        runner.run(range(9))  # ours is now before and after the other
        assert (runner.state["n_iters"], runner.state["stopped_by"]) == (1, "SIGTERM")
        assert (len(layered), len(came)) == (4, 3)
        signal.signal(SIGTERM, before)


class TestStopping:
    @pytest.mark.parametrize("layer", Layer)
    @pytest.mark.parametrize(
        ("event", "stops_at"),
        [
            (Event.STARTED, 1),
            (Event.EPOCH_STARTED, 1),
            (Event.BATCH.where(lambda state: state["n_iters"] == 2), 2),
            (Event.BATCH.where(lambda state: state["n_iters"] == 3), 3),  # the last of its epoch
            (Event.EPOCH_FINISHED, 3),
        ],
    )
    def test_it_stops_at_the_end_of_what_is_under_way(
        self, came: list[int], event: Any, stops_at: int, layer: Layer
    ) -> None:
        runner = stopping() if event is Event.STARTED else Runner()
        raise_once = lambda _: None if came else raise_signal(SIGTERM)  # noqa: E731
        runner.stream(event).add(raise_once, layer=layer)
        if event is not Event.STARTED:
            StopOnSignal(exit=False).attach_on(runner)
        story, last = told(runner), list[int]()
        for each in (Event.BATCH, Event.EPOCH_FINISHED):
            saved = lambda state: last.append(state["n_iters"])  # noqa: E731
            runner.stream(each).add(saved, layer=Layer.SAVE)
        runner.run("abc", max_epoch=2)
        assert (runner.state["n_iters"], runner.state["stopped_by"]) == (stops_at, "SIGTERM")
        assert story[-1] == "STOPPED"
        assert last[-1] == stops_at  # every handler of the event has run
        assert came == [SIGTERM]
        runner.resume()
        assert runner.state["n_iters"] == 6
        assert "stopped_by" not in runner.state

    @pytest.mark.parametrize(("n", "stops_at"), [(2, 3), (3, 3), (6, 6)])
    def test_a_signal_after_the_look_at_the_flag_stops_at_the_next(
        self, came: list[int], n: int, stops_at: int
    ) -> None:
        runner = stopping()
        after = at_batch(n, lambda: raise_signal(SIGTERM))
        runner.stream(Event.BATCH).add(after, layer=Layer.STOP)
        runner.run("abc", max_epoch=2)
        assert (runner.state["n_iters"], runner.state["stopped_by"]) == (stops_at, "SIGTERM")

    @pytest.mark.parametrize("number", [SIGTERM, SIGUSR1, SIGINT])
    def test_a_process_leaves_run_when_all_have_heard_of_the_stop(self, number: Signals) -> None:
        runner, story = stopping(number, exits=True), list[str]()
        runner.on(Event.BATCH, at_batch(2, lambda: raise_signal(number)))
        for event in ENDS:
            for layer in Layer:
                name = f"{event.name} {layer.name}"
                runner.stream(event).add(lambda _, name=name: story.append(name), layer=layer)  # type: ignore[misc]
        with handled(*{number} - {SIGINT}), pytest.raises(SystemExit) as caught:
            runner.run(range(9))
        assert caught.value.code == 128 + number
        in_order = ["DISPLAY", "REDUCE", "USER", "CLOCK", "SAVE", "STOP"]
        assert story == [f"STOPPED {name}" for name in in_order]
        assert runner.state["stopped_by"] == number.name
        seen = delivered(runner)
        runner.resume()
        assert seen == [2, 3, 4, 5, 6, 7, 8]

    def test_it_tells_who_stopped_the_run_before_anyone_hears_of_the_stop(
        self, came: list[int]
    ) -> None:
        runner, seen = stopping(), list[str]()
        runner.on(Event.BATCH, lambda _: raise_signal(SIGTERM))
        first = lambda state: seen.append(state["stopped_by"])  # noqa: E731
        runner.stream(Event.STOPPED).add(first, layer=Layer.DISPLAY)
        runner.run([1])
        assert seen == ["SIGTERM"]

    def test_it_logs_what_came_when_it_stops(self, came: list[int]) -> None:
        runner = stopping()
        stopping_at = runner.on(Event.BATCH, lambda _: raise_signal(SIGTERM))
        with logged("rnnr.durable") as records:
            runner.run([1])
            stopping_at.dispose()
            runner.on(Event.EPOCH_FINISHED, lambda _: raise_signal(SIGTERM))
            runner.run([1])
        assert lines_of(records) == [
            "INFO: Got SIGTERM: stopping after this batch",
            "INFO: Got SIGTERM: stopping after this epoch",
        ]

    def test_one_run_after_another_is_stopped(self, came: list[int]) -> None:
        runner = stopping()
        runner.on(Event.BATCH, at_batch(2, lambda: raise_signal(SIGTERM)))
        for _ in range(3):
            runner.run(range(9))
            assert runner.state["n_iters"] == 2
        other = stopping()
        other.run(range(9))
        assert other.state["n_iters"] == 9
        assert came == [SIGTERM] * 3

    def test_what_stops_the_next_run_at_its_first_handler_is_not_taken_for_a_signal(
        self, came: list[int]
    ) -> None:
        runner = Runner()
        stop = lambda state: state.update(running="signal" not in state)  # noqa: E731
        runner.stream(Event.STARTED).add(stop, layer=Layer.CLOCK)
        StopOnSignal().attach_on(runner)
        runner.on(Event.BATCH, lambda _: raise_signal(SIGTERM))
        with pytest.raises(SystemExit):
            runner.run(range(9))
        runner.state["signal"] = "has come"
        runner.run(range(9))
        assert runner.state["n_iters"] == 0

    def test_a_repeated_batch_is_a_whole_moment(self, came: list[int]) -> None:
        runner = stopping()
        runner.on(Event.BATCH, at_batch(2, lambda: raise_signal(SIGTERM)))
        runner.run(range(9))
        runner.resume(repeat_last_batch=True)
        assert (runner.state["n_iters"], len(came)) == (2, 2)

    def test_a_signal_while_a_batch_is_drawn_takes_effect_after_it(self, came: list[int]) -> None:
        class Source:
            def __iter__(self) -> Iterator[int]:
                yield 1
                raise_signal(SIGTERM)
                yield 2
                yield 3

        runner = stopping()
        seen = delivered(runner)
        runner.run(Source())
        assert seen == [1, 2]
        runner.resume()
        assert seen == [1, 2, 3]


class TestSecondSignal:
    def test_it_calls_the_function_that_was_there_before(self, came: list[int]) -> None:
        runner, seen = stopping(), list[int]()
        raise_twice = [lambda _: raise_signal(SIGTERM), lambda _: seen.append(len(came))] * 2
        runner.on(Event.BATCH, raise_twice)
        runner.run(range(9))
        assert (seen, runner.state["n_iters"]) == ([1, 2], 1)

    def test_a_second_interrupt_is_an_interrupt(self) -> None:
        runner = stopping(SIGINT)
        story = told(runner)
        runner.on(Event.BATCH, [lambda _: raise_signal(SIGINT)] * 2)
        with pytest.raises(KeyboardInterrupt) as caught:
            runner.run([1])
        assert story[-1] == "FAILED"
        assert len(caught.value.__notes__) == 1  # of where it was, and not of another

    def test_one_of_another_kind_counts_for_itself(self, came: list[int]) -> None:
        runner = stopping(SIGUSR1, SIGTERM, exits=True)
        runner.on(Event.BATCH, lambda _: raise_signal(SIGUSR1))
        runner.on(Event.BATCH, lambda _: raise_signal(SIGTERM))
        with pytest.raises(SystemExit) as caught:
            runner.run([1])
        assert (caught.value.code, came) == (128 + SIGUSR1, [SIGUSR1, SIGTERM])

    def test_one_of_another_kind_after_the_stop_is_raised_again(self) -> None:
        runner = stopping(SIGUSR1, SIGINT)
        runner.on(Event.STOPPED, lambda _: raise_signal(SIGINT))
        runner.on(Event.BATCH, lambda _: raise_signal(SIGUSR1))
        with handled(SIGUSR1), pytest.raises(KeyboardInterrupt):
            runner.run([1])
        assert runner.state["stopped_by"] == "SIGUSR1"

    def test_an_error_of_the_function_before_leaves_the_callback(self) -> None:
        def fail(_: int, __: Any) -> None:
            raise Boom

        runner = stopping()
        runner.on(Event.BATCH, lambda _: raise_signal(SIGTERM))
        before = signal.signal(SIGTERM, fail)
        try:
            with pytest.raises(Boom):
                runner.run([1])
            assert signal.getsignal(SIGTERM) is fail
        finally:
            signal.signal(SIGTERM, before)

    def test_a_function_before_that_stops_the_run_at_once_does_so(self) -> None:
        runner = stopping(exits=True)
        seen: list[str] = []
        runner.on(Event.BATCH, [lambda _: raise_signal(SIGTERM), lambda _: seen.append("skipped")])
        before = signal.signal(SIGTERM, lambda *_: runner.stop())
        try:
            with pytest.raises(SystemExit) as caught:
                runner.run([1])
        finally:
            signal.signal(SIGTERM, before)
        assert (caught.value.code, seen) == (143, [])
        assert "stopped_by" not in runner.state  # it is in the middle of the batch

    def test_a_signal_that_was_ignored_stops_the_run_and_is_ignored_again(self) -> None:
        runner = stopping(SIGUSR1)
        runner.on(Event.BATCH, [lambda _: raise_signal(SIGUSR1)] * 2)
        runner.on(Event.FINISHED, lambda _: raise_signal(SIGUSR1))
        before = signal.signal(SIGUSR1, signal.SIG_IGN)
        try:
            runner.run([1])
            assert runner.state["stopped_by"] == "SIGUSR1"
            runner.resume()
            assert signal.getsignal(SIGUSR1) is signal.SIG_IGN
        finally:
            signal.signal(SIGUSR1, before)


class TestTooLate:
    """It is SIGINT, which raises KeyboardInterrupt here; a process below is killed by SIGTERM."""

    @pytest.mark.parametrize("exits", [True, False])
    @pytest.mark.parametrize("layer", Layer)
    def test_a_signal_after_the_last_epoch_is_raised_when_all_have_heard_of_the_end(
        self, exits: bool, layer: Layer
    ) -> None:
        runner, heard = Runner(), list[Layer]()
        runner.stream(Event.FINISHED).add(lambda _: raise_signal(SIGINT), layer=layer)
        for each in Layer:
            runner.stream(Event.FINISHED).add(lambda _, each=each: heard.append(each), layer=each)  # type: ignore[misc]
        StopOnSignal(SIGINT, exit=exits).attach_on(runner)
        with logged("rnnr.durable") as records, pytest.raises(KeyboardInterrupt):
            runner.run([1])
        assert sorted(heard) == [*Layer]
        assert lines_of(records) == [
            "INFO: Got SIGINT, which did not stop the run: raising it again"
        ]

    def test_a_signal_before_an_error_is_raised_after_it_and_noted_on_it(self) -> None:
        runner, heard = Runner(), list[str]()
        runner.on(Event.BATCH, [lambda _: raise_signal(SIGINT), lambda _: 1 / 0])
        runner.stream(Event.FAILED).add(lambda _: heard.append("FAILED"), layer=Layer.STOP)
        StopOnSignal(SIGINT).attach_on(runner)
        with logged("rnnr.durable") as records, pytest.raises(ZeroDivisionError) as caught:
            runner.run([1])
        assert heard == ["FAILED"]
        assert any("KeyboardInterrupt" in note for note in caught.value.__notes__)
        assert lines_of(records)[0] == "ERROR: The run failed after a signal"
        assert records[0].exc_info is not None
        assert records[0].exc_info[1] is caught.value

    def test_a_signal_with_which_a_function_was_called_is_not_raised_again(
        self, came: list[int]
    ) -> None:
        runner = stopping()
        runner.on(Event.FINISHED, lambda _: raise_signal(SIGTERM))
        runner.run([1])
        assert came == [SIGTERM]

    def test_every_signal_is_raised_again(self) -> None:
        runner = stopping(SIGINT, SIGUSR2)
        runner.on(Event.FINISHED, [lambda _: raise_signal(SIGINT), lambda _: raise_signal(SIGUSR2)])
        mine: list[int] = []
        # once both have come, as a script that sets its own handlers in the middle of the run
        hear = lambda _: signal.signal(SIGUSR2, lambda got, _: mine.append(got))  # noqa: E731
        runner.on(Event.FINISHED, hear)
        with pytest.raises(KeyboardInterrupt):
            runner.run([1])
        assert mine == [SIGUSR2]
        signal.signal(SIGUSR2, signal.SIG_DFL)

    def test_a_run_that_something_else_stops_ends_the_process_all_the_same(self) -> None:
        runner = Runner()
        early_stopping("loss", patience=0).attach_on(runner)
        runner.state["loss"] = 1.0
        StopOnSignal(SIGINT).attach_on(runner)
        runner.on(Event.EPOCH_FINISHED, at_batch(2, lambda: raise_signal(SIGINT)))
        with pytest.raises(SystemExit) as caught:
            runner.run([1], max_epoch=9)
        assert caught.value.code == 130
        assert runner.state["stopped_by"] == "early_stopping('loss'): patience"

    def test_without_an_exit_the_signal_is_raised_again_where_something_else_stops(self) -> None:
        runner = Runner()
        early_stopping("loss", patience=0).attach_on(runner)
        runner.state["loss"] = 1.0
        StopOnSignal(SIGINT, exit=False).attach_on(runner)
        runner.on(Event.EPOCH_FINISHED, at_batch(2, lambda: raise_signal(SIGINT)))
        with pytest.raises(KeyboardInterrupt):
            runner.run([1], max_epoch=9)

    def test_it_is_raised_by_the_next_run_where_a_handler_has_cut_the_end_off(self) -> None:
        runner = stopping(SIGINT)
        cut = runner.on(Event.FINISHED, [lambda _: raise_signal(SIGINT), lambda _: runner.stop()])
        runner.run([1])
        cut.dispose()
        with pytest.raises(KeyboardInterrupt):
            runner.run([1])
        runner.run([1])


class TestDetaching:
    @pytest.mark.parametrize("event", [Event.STARTED, Event.BATCH, Event.FINISHED])
    def test_the_handlers_are_put_back_in_the_middle_of_a_run(self, event: Event) -> None:
        runner, before = Runner(), signal.getsignal(SIGTERM)
        attached = StopOnSignal().attach_on(runner)
        seen: list[bool] = []
        runner.on(event, lambda _: attached.dispose())
        runner.on(event, lambda _: seen.append(signal.getsignal(SIGTERM) is before))
        runner.run([1])
        assert seen == [True]

    def test_a_signal_that_has_come_is_raised_again(self) -> None:
        runner = Runner()
        attached = StopOnSignal(SIGINT).attach_on(runner)
        runner.on(Event.BATCH, [lambda _: raise_signal(SIGINT), lambda _: attached.dispose()])
        with pytest.raises(KeyboardInterrupt):
            runner.run([1])

    def test_a_signal_that_has_stopped_the_run_is_not(self) -> None:
        runner = Runner()
        attached = StopOnSignal(SIGINT).attach_on(runner)
        runner.on(Event.BATCH, lambda _: raise_signal(SIGINT))
        runner.on(Event.STOPPED, lambda _: attached.dispose())
        runner.run([1])
        assert runner.state["stopped_by"] == "SIGINT"

    def test_from_another_thread_the_handlers_do_what_those_before_would_have_done(
        self, came: list[int]
    ) -> None:
        runner, before = Runner(), signal.getsignal(SIGTERM)
        attached = StopOnSignal().attach_on(runner)
        runner.on(Event.BATCH, at_batch(2, lambda: on_thread(attached.dispose)))
        runner.on(Event.BATCH, at_batch(3, lambda: raise_signal(SIGTERM)))
        runner.on(Event.BATCH, at_batch(3, lambda: raise_signal(SIGTERM)))
        runner.run(range(9))
        assert runner.state["n_iters"] == 9
        assert came == [SIGTERM] * 2
        assert signal.getsignal(SIGTERM) is before

    def test_those_that_are_left_are_put_back_by_the_next_run(self) -> None:
        runner, before = Runner(), signal.getsignal(SIGTERM)
        attached = StopOnSignal().attach_on(runner)
        runner.on(Event.BATCH, lambda _: on_thread(attached.dispose))
        runner.run([1])
        assert signal.getsignal(SIGTERM) is not before
        stopping(SIGUSR1).run([1])
        assert signal.getsignal(SIGTERM) is before

    def test_to_attach_in_the_middle_of_a_run_counts_from_the_next_one_on(
        self, came: list[int]
    ) -> None:
        runner = Runner()
        attach = StopOnSignal(exit=False).attach_on
        runner.on(Event.BATCH.once(), lambda _: attach(runner))
        runner.on(Event.BATCH, lambda _: raise_signal(SIGTERM))
        runner.run([1, 2])
        assert (runner.state["n_iters"], came) == (2, [SIGTERM] * 2)
        runner.run([1, 2])
        assert (runner.state["n_iters"], came) == (1, [SIGTERM] * 3)


def ends(**runners: Runner) -> list[str]:
    """Return the list of how the runs of some runners end, and after how many batches."""
    story: list[str] = []
    for name, runner in runners.items():
        for event in ENDS:

            def end(state: State, name: str = name, event: Event = event) -> None:
                story.append(f"{name} {event.name} {state['n_iters']}")

            runner.on(event, end)
    return story


class TestNesting:
    def pair(self) -> tuple[Runner, Runner]:
        training, evaluation = Runner(), Runner()
        evaluation.on(Event.BATCH.once(), lambda _: raise_signal(SIGTERM))
        return training, evaluation

    @pytest.mark.parametrize("event", [Event.BATCH, Event.EPOCH_FINISHED])
    @pytest.mark.parametrize("n_objects", [1, 2])
    def test_an_evaluation_is_finished_and_the_training_stopped(
        self, came: list[int], event: Event, n_objects: int
    ) -> None:
        training, evaluation = self.pair()
        attached = [StopOnSignal(exit=False) for _ in range(n_objects)]
        attached[0].attach_on(training)
        attached[-1].attach_on(evaluation)
        training.on(event, lambda _: evaluation.run(range(3)))
        story = ends(training=training, evaluation=evaluation)
        training.run(range(2), max_epoch=3)
        n = 1 if event is Event.BATCH else 2
        assert story == ["evaluation FINISHED 3", f"training STOPPED {n}"]
        assert came == [SIGTERM]
        training.resume()
        assert story[-1] == "training FINISHED 6"

    def test_a_second_signal_in_the_evaluation_does_what_it_did_before(
        self, came: list[int]
    ) -> None:
        training, evaluation = self.pair()
        for runner in (training, evaluation):
            StopOnSignal(exit=False).attach_on(runner)
        training.on(Event.BATCH, lambda _: raise_signal(SIGTERM))
        training.on(Event.BATCH, lambda _: evaluation.run(range(3)))
        training.run(range(9))
        assert (training.state["n_iters"], evaluation.state["n_iters"]) == (1, 3)
        assert came == [SIGTERM] * 2

    def test_a_signal_that_only_the_evaluation_handles_stops_it(self, came: list[int]) -> None:
        training, evaluation = self.pair()
        StopOnSignal(SIGUSR1, exit=False).attach_on(training)
        StopOnSignal(SIGTERM, SIGUSR1, exit=False).attach_on(evaluation)
        training.on(Event.BATCH, lambda _: evaluation.run(range(3)))
        story = ends(training=training, evaluation=evaluation)
        training.run(range(2))
        assert story == ["evaluation STOPPED 1", "evaluation FINISHED 3", "training FINISHED 2"]

    def test_a_loop_over_folds_to_which_it_is_not_attached_is_left(self, came: list[int]) -> None:
        folds, training = Runner(), stopping(exits=True)
        folds.on(Event.BATCH, lambda _: training.run(range(9)))
        training.on(Event.BATCH, at_batch(2, lambda: raise_signal(SIGTERM)))
        story = ends(folds=folds, training=training)
        with pytest.raises(SystemExit) as caught:
            folds.run(range(3))
        assert caught.value.code == 143
        assert story == ["training STOPPED 2", "folds FAILED 1"]

    def test_a_signal_in_an_evaluation_at_the_end_is_raised_when_it_is_finished(self) -> None:
        training, evaluation = Runner(), Runner()
        for runner in (training, evaluation):
            StopOnSignal(SIGINT).attach_on(runner)
        training.on(Event.FINISHED, lambda _: evaluation.run(range(3)))
        evaluation.on(Event.BATCH.once(), lambda _: raise_signal(SIGINT))
        with pytest.raises(KeyboardInterrupt):
            training.run([1])
        assert evaluation.state["n_iters"] == 3


class TestBesideOthers:
    def test_a_run_that_is_paused_goes_on_to_stop(self, came: list[int]) -> None:
        runner, control = stopping(), Control()
        control.attach_on(runner)
        control.pause()

        def send() -> None:
            assert control.wait_until_paused(GUARD)
            os.kill(os.getpid(), SIGTERM)

        with in_thread(send):
            runner.run(range(9))
        assert runner.state["stopped_by"] == "SIGTERM"
        assert runner.state["n_iters"] == 2  # the pause came after the look at the flag
        control.pause()

        def stop() -> None:
            assert control.wait_until_paused(GUARD)
            control.stop()

        with in_thread(stop):
            runner.resume()  # which is paused as ever
        assert runner.state["n_iters"] == 3

    def test_an_evaluation_that_is_paused_goes_on(self, came: list[int]) -> None:
        training, evaluation = Runner(), Runner()
        control = Control()
        for runner in (training, evaluation):
            StopOnSignal(exit=False).attach_on(runner)
            control.attach_on(runner)
        training.on(Event.BATCH, lambda _: evaluation.run(range(3)))
        evaluation.on(Event.EPOCH_STARTED, lambda _: control.pause())

        def send() -> None:
            assert control.wait_until_paused(GUARD)
            os.kill(os.getpid(), SIGTERM)

        with in_thread(send):
            training.run(range(9))
        assert (training.state["n_iters"], evaluation.state["n_iters"]) == (1, 3)

    @pytest.mark.parametrize("control_first", [True, False])
    def test_a_control_that_stops_the_same_batch(
        self, came: list[int], control_first: bool
    ) -> None:
        runner, control = Runner(), Control()
        attachments = [control, StopOnSignal()]
        for each in attachments if control_first else attachments[::-1]:
            each.attach_on(runner)
        runner.on(Event.EPOCH_STARTED, lambda _: control.stop())
        runner.on(Event.BATCH, lambda _: raise_signal(SIGTERM))
        with pytest.raises(SystemExit):
            runner.run(range(9))
        assert runner.state["n_iters"] == 1

    def test_an_observed_run_completes(self, came: list[int]) -> None:
        runner = stopping()
        runner.on(Event.BATCH, at_batch(2, lambda: raise_signal(SIGTERM)))
        names: list[Any] = []
        completed: Observable[Any] = rx.of("completed")
        event: Callable[[Emission], Any] = lambda emission: emission.event  # noqa: E731
        run = runner.observe(range(9)).pipe(ops.map(event), ops.concat(completed))
        run.subscribe(names.append)
        assert names[-2:] == [Event.STOPPED, "completed"]

    def test_an_observed_run_is_left_as_any_other(self, came: list[int]) -> None:
        runner = stopping(exits=True)
        raising = runner.on(Event.BATCH, at_batch(2, lambda: raise_signal(SIGTERM)))
        with pytest.raises(SystemExit):
            runner.observe(range(9)).pipe(ops.retry(3)).subscribe()
        raising.dispose()
        seen: list[Any] = []
        runner.observe(range(2)).subscribe(seen.append)
        assert len(seen) == 6

    def test_a_run_in_an_event_loop_that_handles_the_signal_itself(self) -> None:
        runner, heard = stopping(SIGUSR1), list[str]()
        runner.on(Event.BATCH, at_batch(2, lambda: raise_signal(SIGUSR1)))

        async def main() -> None:
            asyncio.get_running_loop().add_signal_handler(SIGUSR1, heard.append, "the loop")
            runner.run(range(9))
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        asyncio.run(main())
        assert (runner.state["n_iters"], heard) == (2, ["the loop"])


def n_lines(at_line: Callable[[int], bool]) -> int:
    """Do something at every line of ours; return how many there are."""
    return len([*takewhile(at_line, count(1))])


class TestAtEveryLine:
    """What may come at any line comes at each line of ours."""

    def test_a_signal_is_never_lost_and_never_doubled(self, came: list[int]) -> None:
        def at_line(n: int) -> bool:
            came.clear()
            runner = stopping()
            with call_at_line(n, OURS, lambda: raise_signal(SIGTERM)):
                runner.run("ab", max_epoch=2)
            if came:
                assert came == [SIGTERM]
                assert runner.state["n_iters"] in (1, 2, 3, 4)
            return bool(came)

        before = signal.getsignal(SIGTERM)
        assert n_lines(at_line) > 40
        assert signal.getsignal(SIGTERM) is before

    def test_an_interrupt_that_it_handles_stops_the_run_or_leaves_it(self) -> None:
        def at_line(n: int) -> bool:
            sent: list[int] = []

            def send() -> None:
                sent.append(n)
                raise_signal(SIGINT)

            runner, interrupted = stopping(SIGINT), False
            try:
                with call_at_line(n, OURS, send):
                    runner.run("ab", max_epoch=2)
            except KeyboardInterrupt:
                interrupted = True
            if sent:
                assert interrupted is not ("stopped_by" in runner.state), n
            runner.run([1])
            return bool(sent)

        assert n_lines(at_line) > 40

    def test_a_second_signal_while_the_first_is_handled(self, came: list[int]) -> None:
        def at_line(n: int) -> bool:
            came.clear()
            sent: list[int] = []

            def send() -> None:
                sent.append(n)
                raise_signal(SIGTERM)

            runner = stopping()

            @runner.on(Event.BATCH)
            def raise_two(_: State) -> None:
                with call_at_line(n, OURS, send):
                    raise_signal(SIGTERM)

            runner.run("abc")
            assert runner.state["n_iters"] == 1
            assert len(came) in (1, 1 + len(sent))  # two at once may count as one
            return bool(sent)

        assert n_lines(at_line) > 5

    @pytest.mark.parametrize("with_signal", [True, False])
    def test_an_interrupt_leaves_nothing_behind_that_changes_a_signal(
        self, came: list[int], with_signal: bool
    ) -> None:
        before = signal.getsignal(SIGTERM)

        def at_line(n: int) -> bool:
            came.clear()
            runner, interrupted = Runner(), False
            attached = StopOnSignal(exit=False).attach_on(runner)
            if with_signal:
                runner.on(Event.BATCH, lambda _: raise_signal(SIGTERM))
            try:
                with call_at_line(n, OURS, lambda: raise_(KeyboardInterrupt())):
                    runner.run("ab")
            except KeyboardInterrupt:
                interrupted = True
            assert len(came) <= 1
            came.clear()
            raise_signal(SIGTERM)
            assert came == [SIGTERM], n
            if not with_signal:
                runner.run("ab")
                assert (runner.state["n_iters"], came) == (2, [SIGTERM]), n
            attached.dispose()
            assert signal.getsignal(SIGTERM) is before
            return interrupted

        assert n_lines(at_line) > 20


# Processes: what the shell and a scheduler see.

HEAD = """
import os, signal, sys
from rnnr import Event, Layer, Runner
from rnnr.durable import StopOnSignal

def say(what):
    print(what, flush=True)

def wait(_=None):
    say("READY")
    sys.stdin.readline()

def at(event, n, *callbacks):
    for callback in callbacks:
        trainer.on(event.where(lambda state: state["n_iters"] == n), callback)

trainer = Runner()
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests were started by
for event in (Event.FINISHED, Event.STOPPED, Event.FAILED):
    trainer.on(event, lambda state, event=event: say(f"{event.name} {state['n_iters']}"))
"""


class Process:
    """A script that says READY and waits for a line; signals come while it waits."""

    def __init__(self, program: str) -> None:
        pipe = subprocess.PIPE
        command = [sys.executable, "-W", "error", "-c", HEAD + program]
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def send(self, *numbers: Signals) -> None:
        """Wait until it is ready, send signals, and let it go on."""
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        assert self._process.stdout.readline() == "READY\n"
        for number in numbers:
            self._process.send_signal(number)
        with suppress(BrokenPipeError):  # it may be killed
            self._process.stdin.write("\n")
            self._process.stdin.flush()

    def ended(self) -> tuple[int, list[str], str]:
        """Return its exit code, what it said since, and its errors."""
        out, err = self._process.communicate(timeout=GUARD)
        return self._process.returncode, out.splitlines(), err


@pytest.fixture
def start() -> Iterator[Callable[[str], Process]]:
    """Start scripts, and leave none of them behind."""
    with ExitStack() as at_end:

        def start(program: str) -> Process:
            process = Process(program)
            at_end.enter_context(process._process)
            at_end.callback(process._process.kill)
            return process

        yield start


Start = Callable[[str], Process]


class TestProcesses:
    def test_a_process_that_is_terminated_ends_with_143_after_its_batch(self, start: Start) -> None:
        process = start("""
StopOnSignal().attach_on(trainer)
at(Event.BATCH, 2, wait, lambda _: say("the rest of the batch"))
try:
    trainer.run(range(9))
finally:
    say("finally")
""")
        process.send(SIGTERM)
        assert process.ended() == (143, ["the rest of the batch", "STOPPED 2", "finally"], "")

    @pytest.mark.parametrize(("number", "code"), [(SIGUSR1, 138), (SIGINT, 130)])
    def test_other_signals_end_it_with_their_number(
        self, start: Start, number: Signals, code: int
    ) -> None:
        process = start(f"""
StopOnSignal(signal.{number.name}).attach_on(trainer)
at(Event.BATCH, 2, wait)
trainer.run(range(9))
""")
        process.send(number)
        assert process.ended() == (code, ["STOPPED 2"], "")

    def test_a_second_sigterm_kills(self, start: Start) -> None:
        process = start("""
StopOnSignal().attach_on(trainer)
at(Event.BATCH, 2, wait, wait)
trainer.run(range(9))
""")
        process.send(SIGTERM)
        process.send(SIGTERM)
        assert process.ended() == (-SIGTERM, [], "")

    def test_a_second_interrupt_raises(self, start: Start) -> None:
        process = start("""
StopOnSignal(signal.SIGINT).attach_on(trainer)
at(Event.BATCH, 2, wait, wait)
trainer.run(range(9))
""")
        process.send(SIGINT)
        process.send(SIGINT)
        code, said, errors = process.ended()
        assert (code, said, errors.count("Traceback")) == (-SIGINT, ["FAILED 2"], 1)

    def test_an_evaluation_is_finished_first(self, start: Start) -> None:
        process = start("""
evaluator, stop = Runner(), StopOnSignal()
stop.attach_on(trainer)
stop.attach_on(evaluator)
evaluator.on(Event.BATCH.once(), wait)
evaluator.on(Event.FINISHED, lambda _: say("evaluated"))
trainer.on(Event.EPOCH_FINISHED, lambda _: evaluator.run(range(3)))
trainer.run(range(9), max_epoch=3)
""")
        process.send(SIGTERM)
        assert process.ended() == (143, ["evaluated", "STOPPED 9"], "")

    def test_without_an_exit_the_script_goes_on(self, start: Start) -> None:
        process = start("""
StopOnSignal(exit=False).attach_on(trainer)
at(Event.BATCH, 2, wait)
trainer.run(range(9))
say(trainer.state["stopped_by"])
wait()
""")
        process.send(SIGTERM)
        assert process._process.stdout is not None
        assert process._process.stdout.readline() == "STOPPED 2\n"
        assert process._process.stdout.readline() == "SIGTERM\n"
        process.send(SIGTERM)  # between runs it does what it did before
        assert process.ended() == (-SIGTERM, [], "")

    def test_a_signal_while_the_source_sleeps_stops_after_its_next_batch(
        self, start: Start
    ) -> None:
        process = start("""
import time
def batches():
    yield 1
    wait()
    time.sleep(0.01)
    yield 2
    yield 3
StopOnSignal().attach_on(trainer)
trainer.run(batches())
""")
        process.send(SIGTERM)
        assert process.ended() == (143, ["STOPPED 2"], "")

    def test_a_signal_in_the_wait_for_a_source_of_another_thread(self, start: Start) -> None:
        process = start("""
import threading
from rnnr.sources import prefetch
def batches():
    yield 1
    wait()
    yield 2
    yield 3
StopOnSignal().attach_on(trainer)
trainer.run(prefetch(batches()))
""")
        process.send(SIGTERM)
        code, said, errors = process.ended()
        assert (code, errors) == (143, "")
        assert said[-1] in ("STOPPED 1", "STOPPED 2", "STOPPED 3")  # the source is ahead

    @pytest.mark.parametrize("exits", [True, False])
    def test_one_that_comes_too_late_kills_after_the_end(self, start: Start, exits: bool) -> None:
        process = start(f"""
trainer.on(Event.EPOCH_FINISHED, lambda _: trainer.on(Event.FINISHED, lambda _: say("exported")))
trainer.stream(Event.FINISHED).add(wait, layer=Layer.DISPLAY)
StopOnSignal(exit={exits}).attach_on(trainer)
trainer.run(range(9))
say("not reached")
""")
        process.send(SIGTERM)
        assert process.ended() == (-SIGTERM, ["FINISHED 9", "exported"], "")

    def test_a_run_that_fails_leaves_its_traceback_and_is_killed(self, start: Start) -> None:
        process = start("""
StopOnSignal().attach_on(trainer)
at(Event.BATCH, 2, wait, lambda _: 1 / 0)
trainer.run(range(9))
""")
        process.send(SIGTERM)
        code, said, errors = process.ended()
        assert (code, said) == (-SIGTERM, ["FAILED 2"])
        assert "ZeroDivisionError: division by zero" in errors

    def test_a_forked_process_treats_it_as_before(self, start: Start) -> None:
        process = start("""
StopOnSignal().attach_on(trainer)
def fork(_):
    child = os.fork()
    if not child:
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(1)
    say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
at(Event.BATCH, 2, fork)
trainer.run(range(3))
""")
        assert process.ended() == (0, ["-15", "FINISHED 3"], "")

    def test_a_run_in_a_forked_process_is_stopped_for_itself(self, start: Start) -> None:
        process = start("""
stop = StopOnSignal()
stop.attach_on(trainer)
def fork(_):
    child = os.fork()
    if not child:
        mine = Runner()
        stop.attach_on(mine)
        mine.on(Event.BATCH, lambda state: terminate() if state["batch"] == 5 else None)
        mine.on(Event.STOPPED, lambda state: say(state["n_iters"]))
        try:
            mine.run(range(9))
        except SystemExit as error:
            os._exit(error.code)
        os._exit(1)
    say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
def terminate(_=None):
    os.kill(os.getpid(), signal.SIGTERM)
at(Event.BATCH, 2, terminate, fork)  # the signal of the parent is not one of the child
trainer.run(range(3))
""")
        assert process.ended() == (143, ["6", "143", "STOPPED 2"], "")
