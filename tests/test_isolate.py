"""`isolate`: a view cannot break a run."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from rnnr import Event, Runner, isolate
from rnnr._isolate import Failures
from rnnr.operators import pipeline, when
from rnnr.state import State


def fail(state: State) -> None:
    """Fail on every other batch."""
    if state["batch"] % 2:
        raise ConnectionError(f"no network at {state['batch']}")


def test_the_run_goes_on_and_the_callback_is_called_again() -> None:
    story: list[object] = []

    def view(state: State) -> None:
        story.append(f"view {state['batch']}")
        fail(state)

    runner = Runner()
    runner.on(Event.BATCH, [isolate(view), lambda state: story.append(state["batch"])])
    runner.run([1, 2, 3])
    assert story == ["view 1", 1, "view 2", 2, "view 3", 3]


def test_the_exception_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    runner = Runner()
    runner.on(Event.BATCH, isolate(fail))
    runner.run([1, 2])
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("rnnr.isolation", logging.ERROR)
    assert record.getMessage() == f"isolate({fail!r}) caught an exception; the run goes on"
    assert "in fail" in caplog.text
    assert "ConnectionError: no network at 1" in caplog.text


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_failure_passes(kind: type[BaseException]) -> None:
    error = kind()

    def interrupt(_: State) -> None:
        raise error

    with pytest.raises(kind) as caught:
        isolate(interrupt)({})
    assert caught.value is error


@pytest.mark.parametrize("kind", [ValueError, StopIteration, KeyError, MemoryError])
def test_any_exception_is_caught(kind: type[Exception], caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: State) -> None:
        raise kind("a reason")

    isolate(fail)({})
    assert kind.__name__ in caplog.text


def test_a_callback_may_stop_the_run_still() -> None:
    runner = Runner()
    runner.on(Event.BATCH, isolate(lambda state: state.update(running=False)))
    runner.run([1, 2])
    assert runner.state["n_iters"] == 1


def test_it_isolates_one_callback_only() -> None:
    runner = Runner()
    runner.on(Event.BATCH, [isolate(fail), fail])
    with pytest.raises(ConnectionError, match="no network at 1"):
        runner.run([1])


def test_a_function_keeps_its_name_and_documentation() -> None:
    isolated = isolate(fail)
    assert isolated.__name__ == "fail"
    assert isolated.__doc__ == fail.__doc__


class Dashboard:
    """A view with a method, and callable itself."""

    def __init__(self, seen: list[object]) -> None:
        self.seen = seen

    def __call__(self, state: State) -> None:
        self.seen.append(state["batch"])


@pytest.mark.parametrize(
    "make",
    [
        Dashboard,
        lambda seen: Dashboard(seen).__call__,
        lambda seen: partial(Dashboard.__call__, Dashboard(seen)),
        lambda seen: pipeline(when("batch"), lambda stream: stream.do_action(Dashboard(seen))),
    ],
    ids=["object", "method", "partial", "pipeline"],
)
def test_any_callable_can_be_isolated(make: Callable[[list[object]], Any]) -> None:
    seen: list[object] = []
    runner = Runner()
    runner.on(Event.BATCH, isolate(make(seen)))
    runner.run([1, 2])
    assert seen == [1, 2]


def test_what_an_object_has_stays_its_own() -> None:
    assert "seen" not in vars(isolate(Dashboard([])))


@pytest.mark.parametrize("wrong", [None, 5, "view"])
def test_what_cannot_be_called_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=rf"callback must be callable, got {wrong!r} .*pass a func"):
        isolate(wrong)


def test_in_a_pipe_it_is_refused_with_the_name_of_the_operator() -> None:
    stream: Any = Runner().stream(Event.BATCH)
    with pytest.raises(TypeError, match=r"in a pipe write rnnr.operators.isolate\(\)"):
        stream.pipe(isolate(print))
    with pytest.raises(TypeError, match=r"in a pipe write rnnr.operators.isolate\(\)"):
        stream.pipe(isolate)


class TestFailures:
    """What a view logs of itself."""

    LOGGER = logging.getLogger("rnnr.tests")

    def test_each_kind_is_logged_once_with_its_traceback(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        failures = Failures(self.LOGGER)
        for what in ("It cannot write", "It cannot read"):
            for error in (OSError("full"), OSError("gone"), ValueError("closed")):
                failures.log(what, error)
        assert caplog.record_tuples == [
            ("rnnr.tests", logging.ERROR, f"{what}: {reason}; the run goes on")
            for what in ("It cannot write", "It cannot read")
            for reason in ("OSError: full", "ValueError: closed")
        ]
        assert [record.exc_info is not None for record in caplog.records] == [True] * 4

    def test_an_error_that_cannot_be_read_and_a_handler_that_fails_break_nothing(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        class UnreadableError(Exception):
            def __str__(self) -> str:
                raise ZeroDivisionError

        class Failing(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                raise OSError(record.getMessage())

        handler = Failing()
        self.LOGGER.addHandler(handler)
        try:
            Failures(self.LOGGER).log("It cannot write", UnreadableError())
        finally:
            self.LOGGER.removeHandler(handler)
        Failures(self.LOGGER).log("It cannot write", UnreadableError())
        assert "UnreadableError: <exception str() failed>; the run goes on" in caplog.text
