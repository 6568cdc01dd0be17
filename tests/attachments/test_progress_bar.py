"""`ProgressBar`: what its bar is told, what is drawn, and that it closes."""

import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm import tqdm

import rnnr
import rnnr.attachments
from published import published
from rnnr import Event, Runner
from rnnr.attachments import ProgressBar
from rnnr.state import State, is_open

OLD = published()
Story = list[tuple[Any, ...]]
NEVER = 1e9  # seconds between two drawings


def telling(story: Story, name: str = "bar") -> Callable[..., Any]:
    """Make a class of bars that tell what happens to them."""

    class Bar:
        def __init__(self, batches: object, **kwargs: object) -> None:
            story.append((name, batches, kwargs))

        def set_postfix(self, **stats: object) -> None:
            story.append(("stats", stats))

        def update(self, n: int) -> None:
            story.append(("update", n))

        def close(self) -> None:
            story.append(("close",))

    return Bar


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

    def test_that_cannot_be_closed_does_not_keep_another_from_it(self) -> None:
        class Stuck:
            def __init__(self, *_: object, **__: object) -> None:
                pass

            def update(self, _: int) -> None:
                runner.stop()

            def close(self) -> None:
                raise OSError("the screen is gone")

        runner = Runner()
        ProgressBar(tqdm_cls=Stuck).attach_on(runner)  # type: ignore[arg-type]
        story: Story = []
        ProgressBar(tqdm_cls=telling(story)).attach_on(runner)
        with pytest.raises(OSError, match="the screen is gone"):
            runner.run("ab")
        assert story[-1] == ("close",)


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


IN_A_NOTEBOOK = """
import sys
from types import ModuleType

sys.modules["ipykernel.zmqshell"] = ModuleType("what tqdm looks for")
import IPython
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


def test_in_a_notebook_the_bar_is_a_widget_that_shows_the_last_statistics() -> None:
    command = [sys.executable, "-W", "error", "-c", IN_A_NOTEBOOK]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    assert said.stdout.splitlines() == ["5.0 5.0 success =4]", "7.0 9.0 danger =6]"]


class TestAnArgument:
    def test_stats_that_nobody_sets_is_named_with_the_cure(self) -> None:
        runner = Runner()
        story = told(runner, stats="stats")
        expected = (
            r"state\['stats'\] is missing: ProgressBar reads it, the state has .*; "
            "set it to a dict of statistics in a BATCH callback"
        )
        with pytest.raises(KeyError, match=expected):
            runner.run([1])
        assert story[-1] == ("close",)

    @pytest.mark.parametrize("own", ["initial", "iterable"])
    def test_of_the_bars_own_is_refused(self, own: str) -> None:
        expected = f"kwargs must be arguments other than the bar's own, got .*; leave out {own}"
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
