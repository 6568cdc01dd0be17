"""`ProgressBar`: what its bar is told, what is drawn, and that it closes."""

import gc
import io
import logging
import math
import pickle
import re
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm import tqdm

import rnnr
import rnnr.attachments
from helpers.bars import Story, telling
from helpers.extras import np, torch
from helpers.published import published
from rnnr import Event, Runner
from rnnr.attachments import ProgressBar
from rnnr.state import State, epoch_memory, is_open

OLD = published()
NAME = "rnnr.attachments.progress_bar"
NEVER = 1e9  # seconds between two drawings
DOCUMENTED: dict[str, Any] = {
    "desc": "training",
    "total": 5,
    "leave": True,
    "ncols": 80,
    "mininterval": 0,
    "maxinterval": 10.0,
    "miniters": 1,
    "ascii": True,
    "disable": False,
    "unit": "word",
    "unit_scale": False,
    "dynamic_ncols": False,
    "smoothing": 0.3,
    "position": 0,
    "postfix": None,
    "unit_divisor": 1000,
    "write_bytes": False,
    "lock_args": None,
    "nrows": 20,
    "colour": None,
    "delay": 0,
    "gui": False,
}


def told(runner: Runner, **settings: Any) -> Story:
    """Attach a bar that tells, and return its story."""
    story: Story = []
    ProgressBar(tqdm_cls=telling(story), **settings).attach_on(runner)
    return story


def stops_at(runner: Runner, iterations: set[int]) -> None:
    """Stop before the bar has seen the batches of some iterations, and forget them."""

    @runner.on(Event.BATCH)
    def stop(state: State) -> None:
        if state["n_iters"] in iterations:
            iterations.remove(state["n_iters"])
            state["running"] = False


class TestABarOfTheUser:
    @given(
        epochs=st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=3),
        settings=st.fixed_dictionaries(
            {},
            optional={
                "n_items": st.sampled_from(["n_items", "batch"]),
                "stats": st.just("stats"),
                "desc": st.text(),
                "leave": st.booleans(),
            },
        ),
    )
    def test_is_told_what_the_published_one_tells_it(
        self, epochs: list[list[int]], settings: dict[str, Any]
    ) -> None:
        def story(package: Any, attachments: Any) -> Story:
            story: Story = []
            runner = package.Runner()
            bar = attachments.ProgressBar(tqdm_cls=telling(story), **settings)
            bar.attach_on(runner)

            @runner.on(package.Event.BATCH)  # type: ignore[untyped-decorator]
            def train(state: State) -> None:
                state["stats"] = {"loss": state["batch"], "n": state["n_iters"]}
                story.append(("batch", state["batch"]))

            for name in ("STARTED", "EPOCH_STARTED", "EPOCH_FINISHED", "FINISHED"):
                event = getattr(package.Event, name)
                runner.on(event, lambda _, name=name: story.append((name,)))
            for batches in epochs:
                runner.run(batches, max_epoch=2)
            return story

        assert story(rnnr, rnnr.attachments) == story(OLD, OLD.attachments)

    def test_is_made_shown_and_closed_in_each_epoch(self) -> None:
        runner = Runner()
        story = told(runner, stats="stats", desc="training")
        runner.on(Event.BATCH, lambda state: state.update(stats={"loss": state["batch"]}))
        runner.run([3, 2])
        assert story == [
            ("bar", [3, 2], {"initial": 0, "desc": "training"}),
            ("stats", {"loss": 3}),
            ("update", 1),
            ("stats", {"loss": 2}),
            ("update", 1),
            ("close",),
        ]

    def test_advances_by_the_items_of_a_batch_or_by_1(self) -> None:
        runner = Runner()
        runner.on(Event.BATCH, lambda state: state.update(state["batch"]))
        story = told(runner, n_items="size")
        runner.run([{}, {"size": 4}, {"size": 0}])
        assert story[1:-1] == [("update", 1), ("update", 4), ("update", 0)]

    def test_shows_what_the_reducers_and_callbacks_have_computed(self) -> None:
        runner = Runner()
        story = told(runner, stats="stats")
        runner.stream(Event.BATCH).add(
            lambda state: state["stats"].update(reduced=True), layer=rnnr.Layer.REDUCE
        )
        runner.on(Event.BATCH, lambda state: state.update(stats={"loss": 1}))
        runner.run([1])
        assert story[1] == ("stats", {"loss": 1, "reduced": True})

    def test_goes_on_where_the_bar_of_a_stopped_epoch_stood(self) -> None:
        runner = Runner()
        stops_at(runner, {3})
        story = told(runner, n_items="batch")
        runner.run([10, 20, 30, 40], max_epoch=2)
        runner.resume(repeat_last_batch=True)
        assert [event for event in story if event[0] == "bar"] == [
            ("bar", [10, 20, 30, 40], {"initial": initial}) for initial in (0, 30, 0)
        ]
        advanced = [event[1] for event in story if event[0] == "update"]
        assert advanced == [10, 20, 30, 40] * 2

    @given(
        st.lists(st.integers(0, 9), max_size=5),
        st.sets(st.integers(1, 5)),
        st.booleans(),
        st.booleans(),
    )
    def test_always_begins_at_the_sum_of_what_it_has_shown(
        self, batches: list[int], stop_at: set[int], repeat: bool, in_another_process: bool
    ) -> None:
        story: Story = []

        def make() -> Runner:
            runner = Runner()
            stops_at(runner, stop_at)
            ProgressBar(tqdm_cls=telling(story), n_items="batch").attach_on(runner)
            return runner

        runner = make()
        runner.run(batches)
        while is_open(runner.state):
            if in_another_process:
                state = pickle.loads(pickle.dumps(runner.state))
                runner = make()
                runner.state = state
            runner.resume(repeat_last_batch=repeat)
        shown, is_shown = 0, False
        for event, *what in story:
            if event == "bar":
                assert not is_shown
                assert what == [batches, {"initial": shown}]
            is_shown = event != "close"
            shown += what[0] if event == "update" else 0
        assert not is_shown

    def test_begins_at_0_in_a_fresh_run_after_one_that_was_stopped(self) -> None:
        runner = Runner()
        stops_at(runner, {2})
        story = told(runner)
        runner.run("abc")
        story.clear()
        runner.run("abc")
        assert story[0] == ("bar", "abc", {"initial": 0})

    def test_is_not_opened_where_a_run_goes_on_between_epochs(self) -> None:
        runner = Runner()
        story = told(runner)
        runner.on(Event.EPOCH_FINISHED, lambda _: runner.stop())
        runner.run([], max_epoch=2)
        runner.resume()
        bar: tuple[Any, ...] = ("bar", [], {"initial": 0})
        assert story == [bar, ("close",), bar, ("close",)]

    @pytest.mark.parametrize("event", [Event.EPOCH_STARTED, Event.BATCH])
    def test_is_closed_when_the_run_stops_and_opened_again_when_it_goes_on(
        self, event: Event
    ) -> None:
        runner = Runner()
        story = told(runner)
        runner.on(Event.STOPPED, lambda _: story.append(("stopped",)))
        stopping = runner.stream(event).add(lambda _: runner.stop(), layer=rnnr.Layer.DISPLAY)
        runner.run("ab")
        assert story[0][0] == "bar"
        assert story[-2:] == [("close",), ("stopped",)]
        stopping.dispose()
        runner.resume()
        assert story[-1] == ("close",)
        assert sum(name == "close" for name, *_ in story) == 2

    @pytest.mark.parametrize("event", [Event.EPOCH_STARTED, Event.BATCH, Event.EPOCH_FINISHED])
    @pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
    @pytest.mark.parametrize("layer", rnnr.Layer)
    def test_is_closed_once_when_the_run_fails(
        self, event: Event, kind: type[BaseException], layer: rnnr.Layer
    ) -> None:
        def fail(_: State) -> None:
            raise kind("a fault")

        runner = Runner()
        story = told(runner)
        runner.stream(event).add(fail, layer=layer)
        with pytest.raises(kind, match="a fault"):
            runner.run("ab")
        made = [name for name, *_ in story].count("bar")
        assert [name for name, *_ in story].count("close") == made <= 1

    def test_is_closed_when_it_is_detached_in_the_middle(self) -> None:
        story: Story = []
        runner = Runner()
        attached = ProgressBar(tqdm_cls=telling(story)).attach_on(runner)
        runner.on(Event.BATCH, lambda state: state["batch"] == "b" and attached.dispose())
        runner.run("abc", max_epoch=2)
        assert story == [("bar", "abc", {"initial": 0}), ("update", 1), ("close",)]

    def test_that_took_the_place_of_another_is_found_again_in_another_process(self) -> None:
        before, after = Runner(), Runner()
        stops_at(before, {2})
        ProgressBar(tqdm_cls=telling([])).attach_on(before).dispose()
        told(before, n_items="batch")
        before.run([10, 20])
        after.state = pickle.loads(pickle.dumps(before.state))
        story = told(after, n_items="batch")
        after.resume()
        assert story[0] == ("bar", [10, 20], {"initial": 10})

    def test_that_is_attached_in_the_middle_is_shown_from_the_next_epoch_on(self) -> None:
        story: Story = []
        runner = Runner()

        @runner.on(Event.BATCH)
        def attach_once(state: State) -> None:
            if state["n_iters"] == 1:
                ProgressBar(tqdm_cls=telling(story), stats="stats").attach_on(runner)
            state["stats"] = {}

        runner.run("ab", max_epoch=2)
        assert [name for name, *_ in story] == ["bar", *("stats", "update") * 2, "close"]

    def test_is_not_alone_where_two_are_attached(self) -> None:
        runner = Runner()
        stops_at(runner, {2})
        items, batches = told(runner, n_items="batch"), told(runner)
        runner.run([10, 20])
        runner.resume(repeat_last_batch=True)
        assert [event[1:] for event in items] == [
            ([10, 20], {"initial": 0}), (10,), (), ([10, 20], {"initial": 10}), (20,), ()
        ]  # fmt: skip
        assert [event[1:] for event in batches] == [
            ([10, 20], {"initial": 0}), (1,), (), ([10, 20], {"initial": 1}), (1,), ()
        ]  # fmt: skip

    def test_of_one_attachment_on_a_trainer_and_its_evaluator_is_one_for_each(self) -> None:
        story: Story = []
        bar = ProgressBar(tqdm_cls=telling(story))
        trainer, evaluator = Runner(), Runner()
        bar.attach_on(trainer)
        bar.attach_on(evaluator)
        trainer.on(Event.BATCH, lambda _: evaluator.run("xy"))
        trainer.run("a")
        inner = [("bar", "xy", {"initial": 0}), ("update", 1), ("update", 1), ("close",)]
        assert story == [("bar", "a", {"initial": 0}), *inner, ("update", 1), ("close",)]

    def test_gets_names_as_strings_and_the_number_in_what_has_one_item(self) -> None:
        several = torch.zeros(2)
        runner = Runner()
        story = told(runner, stats="stats")
        stats = {
            1: torch.tensor([0.5], requires_grad=True) * 3,
            "n": np.float16(2),
            "several": several,
            "text": "warm-up",
        }
        runner.on(Event.BATCH, lambda state: state.update(stats=stats))
        runner.run([1])
        (shown,) = [event[1] for event in story if event[0] == "stats"]
        assert shown == {"1": 1.5, "n": 2.0, "several": several, "text": "warm-up"}
        assert [type(value) for value in shown.values()] == [float, float, torch.Tensor, str]


class Refusing:
    """A class of bars that raise in one of their methods, from the `n`-th call of it on.

    Attributes:
        n_open: How many are open.
    """

    def __init__(self, method: str, error: BaseException, n: int = 1) -> None:
        self.method = method
        self.error = error
        self.n_left = n
        self.n_open = 0

    def __call__(self, batches: object, **_: object) -> "Refusing":
        self._may_fail("constructor")
        self.n_open += 1
        return self

    def set_postfix(self, **_: object) -> None:
        self._may_fail("set_postfix")

    def update(self, _: int) -> None:
        self._may_fail("update")

    def close(self) -> None:
        self.n_open -= 1
        self._may_fail("close")

    def _may_fail(self, method: str) -> None:
        self.n_left -= method == self.method
        if method == self.method and self.n_left <= 0:
            raise self.error


NO_BAR = "ProgressBar cannot draw its bar, and shows none for this epoch"
NO_STATS = "ProgressBar cannot show statistics"
CANNOT = {"constructor": NO_BAR, "set_postfix": NO_STATS, "update": NO_BAR, "close": NO_BAR}


def run_with(attach: Callable[[Runner], object]) -> tuple[Story, State]:
    """Return the story and the state of two epochs with a stop in the second."""
    runner = Runner()
    story: Story = []
    stops_at(runner, {5})

    @runner.on(Event.BATCH)
    def train(state: State) -> None:
        state.update(stats={"loss": state["batch"]}, n_items=2)

    for event in Event:

        def tell(state: State, event: Event = event) -> None:
            story.append((event, state["epoch"], state["n_iters"], state.get("batch")))

        runner.on(event, tell)
    attach(runner)
    runner.run(range(3), max_epoch=2)
    runner.resume(repeat_last_batch=True)
    return story, runner.state


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged, which must be errors of the bar."""
    assert {(record.name, record.levelno) for record in caplog.records} <= {(NAME, logging.ERROR)}
    return caplog.messages


class TestABarThatFails:
    @pytest.mark.parametrize("method", CANNOT)
    @pytest.mark.parametrize("n", [1, 2, 4])
    @pytest.mark.parametrize("kind", [OSError, KeyError, StopIteration, MemoryError])
    def test_breaks_no_run_and_is_logged_once(
        self, method: str, n: int, kind: type[Exception], caplog: pytest.LogCaptureFixture
    ) -> None:
        def attach(tqdm_cls: Any) -> Callable[[Runner], object]:
            return ProgressBar(stats="stats", tqdm_cls=tqdm_cls).attach_on

        bar = Refusing(method, kind("a reason"), n)
        assert run_with(attach(bar)) == run_with(attach(telling([])))
        n_calls = {"constructor": 3, "close": 3, "set_postfix": 6, "update": 6}[method]
        reason = f"{kind.__name__}: {kind('a reason')}"
        expected = [f"{CANNOT[method]}: {reason}; the run goes on"] if n <= n_calls else []
        assert logged(caplog) == expected
        assert bar.n_open == 0

    @pytest.mark.parametrize("method", CANNOT)
    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    def test_passes_on_what_is_no_failure(
        self, method: str, kind: type[BaseException], caplog: pytest.LogCaptureFixture
    ) -> None:
        runner = Runner()
        runner.on(Event.BATCH, lambda state: state.update(stats={}))
        bar = Refusing(method, kind())
        ProgressBar(stats="stats", tqdm_cls=bar).attach_on(runner)
        with pytest.raises(kind):
            runner.run([1, 2])
        assert caplog.messages == []

    def test_is_shown_again_in_the_next_epoch(self) -> None:
        story: Story = []

        def make(batches: object, **settings: object) -> Any:
            if not story:
                story.append(("failed",))
                raise OSError
            return telling(story)(batches, **settings)

        runner = Runner()
        ProgressBar(tqdm_cls=make).attach_on(runner)
        runner.run("a", max_epoch=2)
        assert story == [("failed",), ("bar", "a", {"initial": 0}), ("update", 1), ("close",)]

    def test_does_not_keep_another_from_being_closed(self) -> None:
        runner = Runner()
        ProgressBar(tqdm_cls=Refusing("close", OSError())).attach_on(runner)
        story = told(runner)
        runner.on(Event.BATCH, lambda _: runner.stop())
        runner.run("ab")
        assert story[-1] == ("close",)

    def test_is_no_matter_for_who_detaches_it(self) -> None:
        runner = Runner()
        attached = ProgressBar(tqdm_cls=Refusing("close", OSError())).attach_on(runner)
        runner.on(Event.BATCH, lambda _: attached.dispose())
        runner.run("ab")
        assert runner.state["n_iters"] == 2

    def test_shows_statistics_again_when_they_can_be_shown(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        runner = Runner()
        story = told(runner, stats="stats")
        runner.on(Event.BATCH, lambda state: state.update(stats=state["batch"]))
        runner.run([{"self": 1}, {"loss": 1}, 3, {"loss": 2}, None, {"self": 2}])
        assert [event for event in story if event[0] == "stats"] == [
            ("stats", {"loss": 1}), ("stats", {"loss": 2})
        ]  # fmt: skip
        assert [event for event in story if event[0] == "update"] == [("update", 1)] * 6
        assert len(logged(caplog)) == 1


class TestItems:
    """The number of items in a batch, which a callback may have left in a tensor."""

    @pytest.mark.parametrize(
        ("n_items", "expected"),
        [
            (torch.tensor(3), 3),
            (torch.tensor([3], dtype=torch.int8), 3),
            (torch.tensor(3.0, requires_grad=True), 3.0),
            (torch.tensor(3, dtype=torch.bfloat16), 3.0),
            (np.int64(3), 3),
            (np.array([[3]], dtype=np.uint8), 3),
            (np.float16(3), 3.0),
            (True, True),
            (Fraction(7, 2), Fraction(7, 2)),
        ],
        ids=repr,
    )
    def test_are_plain_numbers_in_the_bar_and_in_the_memory_of_the_epoch(
        self, n_items: Any, expected: Any
    ) -> None:
        runner = Runner()
        story = told(runner)
        runner.on(Event.BATCH, lambda state: state.update(n_items=n_items))
        runner.run([1, 2])
        advanced = [event[1] for event in story if event[0] == "update"]
        assert advanced == [expected] * 2
        assert type(advanced[0]) is type(expected)
        position = epoch_memory(runner.state)["_bar"]
        assert position == 2 * expected
        assert type(position) is type(expected + expected)

    @pytest.mark.parametrize(
        "n_items",
        [None, "3", torch.zeros(2), np.zeros(0), math.nan, math.inf, 1j, [1], object()],
        ids=repr,
    )
    def test_that_are_no_number_count_as_none_and_are_logged_once(
        self, n_items: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        runner = Runner()
        story = told(runner)
        runner.on(Event.BATCH, lambda state: state.update(n_items=n_items))
        runner.on(Event.BATCH.every(3), lambda state: state.update(n_items=4))
        runner.run([1, 2, 3])
        assert [event[1] for event in story if event[0] == "update"] == [0, 0, 4]
        assert epoch_memory(runner.state)["_bar"] == 4
        (message,) = logged(caplog)
        assert "state['n_items'] must be a finite number, got" in message
        assert "; set it to the number of items in the batch; the run goes on" in message

    def test_that_cannot_be_added_to_those_before_break_no_run(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        runner = Runner()
        story = told(runner, n_items="batch")
        runner.run([Decimal("1.5"), 0.5, Decimal("0.5")])
        assert [event[1] for event in story if event[0] == "update"] == [1.5, 0.5, 0.5]
        assert epoch_memory(runner.state)["_bar"] == 2
        assert len(logged(caplog)) == 1

    def test_of_a_tensor_advance_the_default_bar(self) -> None:
        runner = Runner()
        runner.on(Event.BATCH, lambda state: state.update(n_items=torch.tensor(3)))
        screen = io.StringIO()
        ProgressBar(file=screen, total=9, bar_format="{n}/{total}").attach_on(runner)
        runner.run(range(3))
        assert screen.getvalue().split("\r")[-1] == "9/9\n"


def drawn(batches: Any, **settings: Any) -> list[str]:
    """Return what is drawn one after the other for a run, without colours and spaces."""
    screen = io.StringIO()
    runner = Runner()
    stats: State = {}

    @runner.on(Event.BATCH)
    def train(state: State) -> None:
        stats["loss"] = state["batch"]  # the same dict all the time
        state["stats"] = stats

    settings = {"bar_format": "{n}/{total}{postfix}", "stats": "stats"} | settings
    ProgressBar(file=screen, **settings).attach_on(runner)
    runner.run(batches)
    return [text.strip() for text in screen.getvalue().split("\r")[1:]]


class TestTqdm:
    def test_draws_the_first_and_the_last_where_it_is_time_for_nothing_else(self) -> None:
        assert drawn(range(100), mininterval=NEVER) == ["0/100", "100/100, loss=99"]

    def test_draws_with_statistics_no_more_often_than_without(self) -> None:
        every_fourth = {"mininterval": 0, "miniters": 4}
        with_stats = drawn(range(10), **every_fourth)
        without = drawn(range(10), stats=None, **every_fourth)
        assert [text.partition(",")[0] for text in with_stats] == without
        assert with_stats == [
            "0/10", "4/10, loss=3", "8/10, loss=7", "10/10, loss=9"
        ]  # fmt: skip

    def test_draws_each_batch_with_its_own_statistics_of_a_dict_that_is_used_again(self) -> None:
        texts = drawn(range(3), mininterval=0, miniters=1)
        assert texts == ["0/3", "1/3, loss=0", "2/3, loss=1", "3/3, loss=2", "3/3, loss=2"]

    def test_draws_numbers_and_names_as_the_published_one_does(self) -> None:
        values = [1 / 3, 12345678, "text", None, [1, 2], 1e-9, True]
        ours = drawn(values, mininterval=0, miniters=1)
        screen = io.StringIO()
        runner = OLD.Runner()
        runner.on(OLD.Event.BATCH, lambda state: state.update(stats={"loss": state["batch"]}))
        bar = OLD.attachments.ProgressBar(
            stats="stats",
            file=screen,
            bar_format="{n}/{total}{postfix}",
            mininterval=0,
            miniters=1,
        )
        bar.attach_on(runner)
        runner.run(values)
        theirs = [text.strip() for text in screen.getvalue().split("\r")[1:]]
        after_each_update = [theirs[0], *theirs[2::2], theirs[-1]]  # they draw for set_postfix, too
        assert ours == after_each_update

    def test_sorts_several_statistics_as_tqdm_does(self) -> None:
        screen = io.StringIO()
        runner = Runner()
        runner.state["stats"] = {"b": 2, "a": 1}
        ProgressBar(stats="stats", file=screen, bar_format="{postfix}").attach_on(runner)
        runner.run([0])
        assert screen.getvalue().split("\r")[-1].strip() == ", a=1, b=2"

    @pytest.mark.parametrize("end", ["stopped", "failed", "detached"])
    def test_draws_the_last_statistics_where_the_run_ends_early(self, end: str) -> None:
        screen = io.StringIO()
        runner = Runner()
        attached = ProgressBar(
            stats="stats", file=screen, mininterval=NEVER, bar_format="{n}/{total}{postfix}"
        ).attach_on(runner)

        def fail() -> None:
            raise ValueError("a fault")

        ending = {"stopped": runner.stop, "failed": fail, "detached": attached.dispose}

        @runner.on(Event.BATCH)
        def train(state: State) -> None:
            state.setdefault("stats", {})["loss"] = state["batch"]
            if state["batch"] == 3:
                ending[end]()

        try:
            runner.run(range(9))
        except ValueError:
            assert end == "failed"
        assert screen.getvalue().split("\r")[-1] == "3/9, loss=2\n"

    def test_draws_a_resumed_epoch_from_where_it_stood(self) -> None:
        screen = io.StringIO()
        runner = Runner()
        stops_at(runner, {3})
        bar = ProgressBar(file=screen, mininterval=NEVER, bar_format="{n}/{total}")
        bar.attach_on(runner)
        runner.run("abcd")
        runner.resume(repeat_last_batch=True)
        assert screen.getvalue().split() == ["0/4", "2/4", "2/4", "4/4"]

    def test_keeps_statistics_that_were_given_to_it_until_there_are_others(self) -> None:
        assert drawn([7], postfix={"loss": "?"}, mininterval=NEVER) == [
            "0/1, loss=?",
            "1/1, loss=7",
        ]
        assert drawn([7], postfix="waiting", stats=None, mininterval=NEVER) == [
            "0/1, waiting",
            "1/1, waiting",
        ]

    def test_leaves_nothing_where_it_is_told_so(self) -> None:
        assert drawn(range(3), leave=False, mininterval=NEVER)[-1] == ""

    def test_that_is_disabled_draws_nothing(self) -> None:
        assert drawn(range(3), disable=True) == []

    def test_needs_no_length(self) -> None:
        assert drawn(iter(range(3)), mininterval=NEVER) == ["0/None", "3/None, loss=2"]

    def test_draws_what_a_value_was_when_it_is_drawn_and_formats_no_other(self) -> None:
        formatted: list[int] = []

        class Loss(int):
            def __format__(self, spec: str) -> str:
                formatted.append(self)
                return super().__format__(spec)

        texts = drawn([Loss(i) for i in range(50)], mininterval=NEVER)
        assert texts[-1] == "50/50, loss=49"
        assert formatted == [49]

    def test_may_be_passed_as_the_class(self) -> None:
        assert drawn([1, 2], tqdm_cls=tqdm, mininterval=NEVER, stats=None) == ["0/2", "2/2"]

    def test_closes_every_bar(self) -> None:
        before = len(getattr(tqdm, "_instances", ()))
        drawn(range(3))
        assert len(getattr(tqdm, "_instances", ())) == before


class Basket:
    """Something with items that are no numbers."""

    def item(self) -> str:
        return "an apple"

    def __str__(self) -> str:
        return "a basket"


class Unreadable:
    """A statistic that cannot be read."""

    def __str__(self) -> NoReturn:
        raise ZeroDivisionError("unreadable")


class TestStatisticsOfTqdm:
    def shown(self, stats: Any, **settings: Any) -> str:
        """Return what is drawn of statistics."""
        screen = io.StringIO()
        runner = Runner()
        runner.on(Event.BATCH, lambda state: state.update(stats=stats))
        ProgressBar(stats="stats", file=screen, bar_format="{n}{postfix}").attach_on(runner)
        runner.run([1])
        return screen.getvalue().split("\r")[-1]

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (torch.tensor(0.25), "0.25"),
            (torch.tensor([[0.25]], requires_grad=True) * 2, "0.5"),
            (torch.tensor(0.1, dtype=torch.float16), "0.1"),
            (torch.tensor(0.1, dtype=torch.bfloat16), "0.1"),
            (torch.tensor(1000, dtype=torch.int16), "1000"),
            (torch.tensor(True), "1"),
            (torch.tensor(math.nan), "nan"),
            (np.array(1 / 3), "0.333"),
            (np.array([7], dtype=np.uint8), "7"),
            (np.float16(0.1), "0.1"),
            (np.float64(1 / 3), "0.333"),
            (np.int64(1000), "1000"),
            (np.True_, "1"),
            (Fraction(1, 3), "1/3"),
            (10**400, f"1{'0' * 76}..."),
            (Decimal("0.1"), "0.1"),
            (None, "None"),
            ("a text", "a text"),
            ([1, 2], "[1, 2]"),
            (Basket(), "a basket"),
        ],
        ids=repr,
    )
    def test_are_shown_as_numbers_where_they_have_one(self, value: Any, expected: str) -> None:
        assert self.shown({"loss": value}) == f"1, loss={expected}\n"

    def test_with_many_items_are_one_short_line(self) -> None:
        assert self.shown({"m": torch.eye(2)}) == "1, m=tensor([[1., 0.], [0., 1.]])\n"
        assert self.shown({"m": [0] * 99}) == f"1, m=[{'0, ' * 25}0...\n"
        assert self.shown({"a\nname": "two\r\nlines"}) == "1, a name=two lines\n"
        assert self.shown({"text": "x" * 200}) == f"1, text={'x' * 200}\n"

    def test_may_have_any_name(self) -> None:
        names = ["ordered_dict", "refresh", "self", "stats", "n", "", 3, None, ("a", 1)]
        shown = self.shown(dict.fromkeys(names, 1))
        assert shown == "1, " + ", ".join(f"{name}=1" for name in sorted(map(str, names))) + "\n"

    def test_that_cannot_be_read_are_left_out_and_logged_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        stats = {"bad": Unreadable(), Unreadable(): 1, "good": 2}
        assert self.shown(stats) == "1, good=2\n"
        (message,) = logged(caplog)
        assert message == f"{NO_STATS}: ZeroDivisionError: unreadable; the run goes on"

    def test_are_read_only_when_they_are_drawn(self) -> None:
        read: list[int] = []

        class Loss:
            def __init__(self, value: int) -> None:
                self.value = value

            def item(self) -> int:
                read.append(self.value)
                return self.value

        texts = drawn([Loss(i) for i in range(50)], mininterval=NEVER)
        assert texts == ["0/50", "50/50, loss=49"]
        assert read == [49]


class Loader:
    """Batches with a length of any kind."""

    def __init__(self, length: Any) -> None:
        self.length = length
        self.n_asked = 0

    def __iter__(self) -> Iterator[int]:
        return iter([1, 2])

    def __len__(self) -> Any:
        self.n_asked += 1
        if isinstance(self.length, BaseException):
            raise self.length
        return self.length


class TestTheLengthForTqdm:
    @pytest.mark.parametrize(
        "length",
        [
            *(NotImplementedError(), RuntimeError("not known yet"), ZeroDivisionError()),
            *(TypeError(), AttributeError(), MemoryError(), StopIteration()),
            *(-1, math.inf, math.nan, 10**20, None, "2", 2.0),
        ],
        ids=repr,
    )
    def test_is_unknown_where_it_cannot_be_told(
        self, length: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert drawn(Loader(length), mininterval=NEVER) == ["0/None", "2/None, loss=2"]
        assert caplog.messages == []

    @pytest.mark.parametrize("length", [2, np.int64(2), True])
    def test_is_what_len_makes_of_it(self, length: Any) -> None:
        assert drawn(Loader(length), stats=None, mininterval=NEVER)[0] == f"0/{int(length)}"

    def test_is_asked_for_again_in_each_epoch(self) -> None:
        batches = [1]
        screen, runner = io.StringIO(), Runner()
        runner.on(Event.EPOCH_FINISHED, lambda _: batches.append(0))
        bar = ProgressBar(file=screen, mininterval=NEVER, bar_format="{n}/{total}")
        bar.attach_on(runner)
        runner.run(batches, max_epoch=2)
        assert screen.getvalue().split() == ["0/1", "1/1", "0/2", "2/2"]

    @pytest.mark.parametrize(
        ("settings", "n_asked"),
        [
            ({}, 1),
            ({"total": None}, 1),
            ({"total": 7}, 0),
            ({"total": 0}, 0),
            ({"disable": True}, 0),
            ({"disable": None}, 0),
            ({"disable": False}, 1),
        ],
        ids=repr,
    )
    def test_is_asked_for_where_it_is_needed(self, settings: dict[str, Any], n_asked: int) -> None:
        batches = Loader(2)
        texts = drawn(batches, **settings)
        assert batches.n_asked == n_asked
        if texts:
            assert texts[0] == f"0/{settings.get('total') or 2 * n_asked}"

    def test_may_end_the_run_where_it_is_interrupted(self) -> None:
        with pytest.raises(KeyboardInterrupt):
            drawn(Loader(KeyboardInterrupt()))


class Screen(io.StringIO):
    """A screen that fails at the `n`-th call of one of its methods and at all later ones."""

    def __init__(self, method: str, error: BaseException, n: int = 1) -> None:
        super().__init__()
        self.method = method
        self.error = error
        self.n_left = n

    def write(self, text: str) -> int:
        self.may_fail("write")
        return super().write(text)

    def flush(self) -> None:
        self.may_fail("flush")

    def may_fail(self, method: str) -> None:
        self.n_left -= method == self.method
        if method == self.method and self.n_left <= 0:
            raise type(self.error)(*self.error.args)


SCREEN_ERRORS = [
    OSError(28, "No space left on device"),
    BrokenPipeError(32, "Broken pipe"),
    OSError(5, "Input/output error"),  # of this and of a closed file tqdm itself says nothing
    ValueError("I/O operation on closed file"),
    UnicodeEncodeError("ascii", "█", 0, 1, "ordinal not in range"),
    AttributeError("'NoneType' object has no attribute 'write'"),
]


def n_instances() -> int:
    """Return how many bars tqdm knows of, for its monitor to draw."""
    return len(getattr(tqdm, "_instances", ()))


class TestAScreenThatCannotBeWrittenTo:
    @pytest.mark.parametrize("error", SCREEN_ERRORS, ids=repr)
    @pytest.mark.parametrize("method", ["write", "flush"])
    @pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
    def test_breaks_no_run_and_is_logged_once(
        self, error: Exception, method: str, n: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        def attach(screen: Any) -> Callable[[Runner], object]:
            settings: dict[str, Any] = {"mininterval": 0, "miniters": 1}
            return ProgressBar(stats="stats", file=screen, **settings).attach_on

        assert run_with(attach(Screen(method, error, n))) == run_with(attach(io.StringIO()))
        (message,) = logged(caplog)
        assert str(error) in message
        assert n_instances() == 0

    @pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
    @pytest.mark.parametrize("n", [1, 2, 4])
    def test_leaves_tqdm_s_lock_to_other_threads(self, kind: Any, n: int) -> None:
        taken: list[object] = []

        def take() -> None:
            with tqdm.get_lock():  # type: ignore[no-untyped-call]
                taken.append("taken")

        with suppress(KeyboardInterrupt):
            run_with(ProgressBar(file=Screen("write", kind(), n), mininterval=0).attach_on)
        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        thread.join(30)
        assert taken
        assert n_instances() == 0

    def test_does_not_end_the_thread_of_tqdm_s_monitor(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        screen = Screen("write", OSError(28, "No space left on device"), 2)
        runner = Runner()
        failed: list[BaseException] = []

        @runner.on(Event.BATCH.first(1))
        def look(_: State) -> None:
            (bar,) = tqdm._instances  # type: ignore[attr-defined]

            def draw() -> None:
                try:
                    bar.refresh(nolock=True)  # as the monitor does
                except Exception as error:  # noqa: BLE001
                    failed.append(error)

            thread = threading.Thread(target=draw)
            thread.start()
            thread.join(30)

        ProgressBar(file=screen, mininterval=NEVER).attach_on(runner)
        runner.run(range(3))
        assert failed == []
        assert len(logged(caplog)) == 1

    def test_is_not_written_to_until_the_next_epoch(self) -> None:
        screen = Screen("write", OSError(28, "No space left on device"), 2)
        runner = Runner()
        calls: list[int] = []
        runner.on(Event.BATCH, lambda _: calls.append(screen.n_left))
        ProgressBar(file=screen, mininterval=0, miniters=1).attach_on(runner)
        runner.run(range(5))
        assert len(set(calls[1:])) == 1
        runner.run(range(5))
        assert len(set(calls[5:])) == 1
        assert calls[5] < calls[1]

    def test_that_is_there_again_in_the_next_epoch_shows_the_bar(self) -> None:
        screen = Screen("write", OSError(28, "No space left on device"))
        runner = Runner()
        runner.on(Event.EPOCH_FINISHED, lambda _: setattr(screen, "n_left", 1000))
        ProgressBar(file=screen, mininterval=NEVER, bar_format="{n}/{total}").attach_on(runner)
        runner.run(range(3), max_epoch=2)
        assert screen.getvalue().split() == ["0/3", "3/3"]

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    @pytest.mark.parametrize("n", [1, 2, 4])
    def test_passes_on_what_is_no_failure(self, kind: type[BaseException], n: int) -> None:
        with pytest.raises(kind):
            run_with(ProgressBar(file=Screen("write", kind(), n), mininterval=0).attach_on)

    @pytest.mark.parametrize("what", ["none", "closed", "a directory's"])
    def test_may_be_missing(
        self, what: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        closed = io.StringIO()
        closed.close()
        files: dict[str, Any] = {"none": None, "closed": closed, "a directory's": object()}
        monkeypatch.setattr(sys, "stderr", files[what])
        expected = run_with(ProgressBar(disable=True).attach_on)
        assert run_with(ProgressBar().attach_on) == expected
        assert len(logged(caplog)) == 1

    def test_may_lack_what_a_bar_does_not_need(self) -> None:
        class Least:
            texts: list[str] = []  # noqa: RUF012

            def write(self, text: str) -> None:
                self.texts.append(text)

        run_with(ProgressBar(file=Least(), bar_format="{n}").attach_on)
        assert "".join(Least.texts).split() == ["0", "6", "0", "2", "2", "6"]

    def test_is_known_to_tqdm_as_the_file_that_it_is(self) -> None:
        screen, other = io.StringIO(), io.StringIO()
        runner = Runner()
        runner.on(Event.BATCH, lambda _: tqdm.write("a line", file=screen))
        runner.on(Event.BATCH, lambda _: tqdm.write("another", file=other))
        ProgressBar(file=screen, mininterval=NEVER, bar_format="{n}").attach_on(runner)
        ProgressBar(file=screen, mininterval=NEVER, bar_format="{n}").attach_on(runner)
        runner.run([1])
        assert "\r \r" in screen.getvalue().partition("a line")[0]  # the bars made room
        assert other.getvalue() == "another\n"

    @pytest.mark.parametrize("n", [1, 2, 4, 99])
    def test_leaves_nothing_for_the_garbage_collector(
        self, n: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Batch:
            pass

        def fail(batch: Batch) -> weakref.ref[Batch]:
            screen = Screen("write", OSError(28, "No space left on device"), n)
            runner = Runner()
            runner.on(Event.BATCH, lambda state: state.update(stats={"a": Unreadable()}))
            bar = ProgressBar(stats="stats", file=screen, mininterval=0, miniters=1)
            bar.attach_on(runner)
            runner.run([batch])
            runner.state.clear()
            return weakref.ref(batch)

        monkeypatch.setattr(logging.getLogger(NAME), "disabled", True)  # records hold tracebacks
        gc.disable()
        try:
            gone = fail(Batch())  # not in the assertion, which keeps what is in it
            assert gone() is None
        finally:
            gc.enable()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_breaks_no_run(caplog: pytest.LogCaptureFixture) -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115  (closing it fails)
    assert run_with(ProgressBar(file=full).attach_on) == run_with(
        ProgressBar(disable=True).attach_on
    )
    (message,) = logged(caplog)
    assert "No space left on device" in message
    with pytest.raises(OSError, match="No space left"):  # of what Python has kept
        full.close()


IN_A_NOTEBOOK = """
import sys
from types import ModuleType, SimpleNamespace

sys.modules["ipykernel.zmqshell"] = ModuleType("what tqdm looks for")
import IPython
get_ipython = IPython.get_ipython  # what tqdm before 4.68 looks for
IPython.get_ipython = lambda: SimpleNamespace(config={"IPKernelApp": {}})
import tqdm.auto
IPython.get_ipython = get_ipython
from rnnr import Event, Runner
from rnnr.attachments import ProgressBar
from rnnr.attachments._tqdm import LazyBar

bars = []
init = LazyBar.__init__
LazyBar.__init__ = lambda self, *args, **kwargs: [bars.append(self), init(self, *args, **kwargs)][0]
runner = Runner()
runner.on(Event.BATCH, lambda state: state.update(stats={"loss": state["batch"]}))
runner.on(Event.BATCH, lambda state: state.update(running=state["batch"] != 7))
attached = ProgressBar(stats="stats", mininterval=1e9, display=False).attach_on(runner)
runner.run(range(5))
runner.run(range(9))
for bar in bars:
    _, widget, text = bar.container.children
    print(widget.value, widget.max, widget.bar_style, text.value.rpartition("loss")[2])
"""


def said_in_a_notebook(program: str) -> list[str]:
    pytest.importorskip("ipywidgets")
    command = [sys.executable, "-W", "error", "-c", program]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    assert said.stderr == ""
    return said.stdout.splitlines()


def test_in_a_notebook_the_bar_is_a_widget_that_shows_the_last_statistics() -> None:
    assert said_in_a_notebook(IN_A_NOTEBOOK) == ["5.0 5.0 success =4]", "7.0 9.0 danger =6]"]


A_NOTEBOOK_THAT_FAILS = """
import logging, sys
from types import ModuleType, SimpleNamespace

sys.modules["ipykernel.zmqshell"] = ModuleType("what tqdm looks for")
import IPython
get_ipython = IPython.get_ipython  # what tqdm before 4.68 looks for
IPython.get_ipython = lambda: SimpleNamespace(config={"IPKernelApp": {}})
import tqdm.auto
IPython.get_ipython = get_ipython
import torch
from rnnr import Event, Runner
from rnnr.attachments import ProgressBar
from rnnr.attachments._tqdm import LazyBar

logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message).60s")
logging.getLogger("rnnr.attachments.progress_bar").addFilter(
    lambda record: setattr(record, "exc_info", None) or True
)


class Shuffled:
    n_iterations = 0
    __len__ = lambda self: 2

    def __iter__(self):
        self.n_iterations += 1
        return iter("ab")


def train(**settings):
    runner, batches = Runner(), Shuffled()
    runner.on(Event.BATCH, lambda state: state.update(stats={"loss": torch.tensor(0.5)}))
    ProgressBar(stats="stats", **settings).attach_on(runner)
    runner.run(batches, max_epoch=2)
    print(runner.state["n_iters"], batches.n_iterations, len(LazyBar._instances))


totals = set()
close = LazyBar.close
LazyBar.close = lambda bar: [totals.add(bar.total), close(bar)][1]
train(display=False, disable=None)
print(totals)
def refuse(*_, **__):
    raise OSError("the front end is gone")
import tqdm.notebook
tqdm.notebook.display = refuse
train()
try:
    ProgressBar(descr="training")
except TypeError as error:
    print("display" in str(error), str(error).partition(" (")[0])
"""


def test_in_a_notebook_a_widget_that_fails_breaks_no_run_either() -> None:
    pytest.importorskip("torch")
    cannot = "ERROR ProgressBar cannot draw its bar, and shows none for this epo"
    assert said_in_a_notebook(A_NOTEBOOK_THAT_FAILS) == [
        *("4 2 0", "{2}"),
        *(cannot, "4 2 0"),
        "True kwargs must be arguments of tqdm, got ['descr']",
    ]


class TestAnArgument:
    def test_stats_that_nobody_sets_is_logged_once_with_the_cure(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        runner = Runner()
        story = told(runner, stats="stats")
        runner.run([1, 2])
        (message,) = logged(caplog)
        assert re.search(
            r"state\['stats'\] is missing: ProgressBar reads it, the state has .*; "
            "set it to a dict of statistics in a BATCH callback",
            message,
        )
        assert [name for name, *_ in story] == ["bar", "update", "update", "close"]

    def test_that_tqdm_does_not_know_is_refused_with_those_that_it_knows(self) -> None:
        expected = (
            r"kwargs must be arguments of tqdm, got \['descr', 'uint'\] \(list\); "
            "write desc, unit; there are ascii, .*, desc, .*, unit, .*, write_bytes$"
        )
        with pytest.raises(TypeError, match=expected):
            ProgressBar(uint="word", descr="training", leave=False)

    def test_that_is_like_none_is_to_be_left_out(self) -> None:
        with pytest.raises(TypeError, match=r"got \['qqq'\] .*; leave out qqq; there are ascii"):
            ProgressBar(qqq=1)

    def test_that_only_another_class_knows_is_its_own_matter(self) -> None:
        runner = Runner()
        story = told(runner, descr="training")
        runner.run([])
        assert story[0] == ("bar", [], {"initial": 0, "descr": "training"})

    def test_that_tqdm_documents_is_taken(self) -> None:
        assert drawn([1, 2], **DOCUMENTED) == ["0/5", "1/5, loss=1", "2/5, loss=2", "2/5, loss=2"]

    @pytest.mark.parametrize("own", ["initial", "iterable"])
    def test_of_the_bars_own_is_refused(self, own: str) -> None:
        expected = f"kwargs must be arguments that the bar does not set, got .*; leave out {own}"
        with pytest.raises(TypeError, match=expected):
            ProgressBar(**{own: 3})  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({"n_items": 1}, "n_items must be a string, got 1"),
            ({"stats": 1}, "a key of the state for ProgressBar must be a string, got 1"),
            ({"tqdm_cls": "tqdm"}, "tqdm_cls must be a class like tqdm, got 'tqdm'"),
        ],
    )
    def test_of_the_wrong_type_is_refused(self, settings: Any, expected: str) -> None:
        with pytest.raises(TypeError, match=expected):
            ProgressBar(**settings)
