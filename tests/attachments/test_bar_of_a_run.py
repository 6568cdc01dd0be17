"""`ProgressBar(per="run")`, one bar over all epochs, and the epoch's number in `desc`."""

import io
import logging
import math
import pickle
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from helpers.bars import Story, telling
from helpers.extras import torch
from helpers.faults import Boom, raise_
from rnnr import Event, Layer, Runner, State
from rnnr.attachments import ProgressBar
from rnnr.operators import stop


class Unsized:
    """Batches without a length."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.n))


def told(runner: Runner, *, per: str = "run", can_describe: bool = False, **settings: Any) -> Story:
    """Attach a bar that tells what happens to it; return its story."""
    story: Story = []

    telling_all = telling(story)

    class Bar(telling_all):  # type: ignore[misc, valid-type]
        def __init__(self, batches: object, **kwargs: object) -> None:
            story.append(("bar", kwargs))

    class Described(Bar):
        def set_description(self, desc: str) -> None:
            story.append(("desc", desc))

    ProgressBar(tqdm_cls=Described if can_describe else Bar, per=per, **settings).attach_on(runner)
    return story


def drawn(runner: Runner, **settings: Any) -> io.StringIO:
    """Attach a bar of tqdm that is drawn at each change; return its screen."""
    screen = io.StringIO()
    looks: dict[str, Any] = {"bar_format": "{desc} {n}/{total} {unit}", "mininterval": 0}
    ProgressBar(per="run", file=screen, **{**looks, **settings}).attach_on(runner)
    return screen


def drawings(screen: io.StringIO) -> list[str]:
    """Return what was drawn, without repetitions."""
    texts = [text.strip() for text in screen.getvalue().replace("\n", "\r").split("\r")]
    texts = [text for text in texts if text]
    return [text for text, before in zip(texts, ["", *texts], strict=False) if text != before]


def stop_at(runner: Runner, n: int) -> None:
    runner.on(Event.BATCH.where(lambda state: state["n_iters"] == n).once(), stop())


class TestOneBar:
    def test_counts_the_batches_of_all_epochs_if_they_have_a_length(self) -> None:
        runner = Runner()
        story = told(runner)
        runner.run("ab", max_epoch=3)
        bar = ("bar", {"initial": 0, "total": 6})
        assert story == [bar, *[("update", 1)] * 6, ("close",)]

    def test_counts_epochs_if_the_batches_have_no_length(self) -> None:
        runner = Runner()
        story = told(runner, stats="stats")
        runner.on(Event.BATCH, lambda state: state.update(stats={"n": state["n_iters"]}))
        runner.run(Unsized(1), max_epoch=2)
        assert story == [
            ("bar", {"initial": 0, "total": 2, "unit": "epoch"}),
            *(("stats", {"n": 1}), ("update", 1)),
            *(("stats", {"n": 2}), ("update", 1)),
            ("close",),
        ]

    def test_has_the_arguments_of_the_user(self) -> None:
        runner = Runner()
        story = told(runner, total=9, unit="item", n_items="batch")
        runner.run(Unsized(3), max_epoch=3)
        bar = ("bar", {"initial": 0, "total": 9, "unit": "item"})
        assert story == [bar, *[("update", 0), ("update", 1), ("update", 2)] * 3, ("close",)]

    @pytest.mark.parametrize("max_epoch", [sys.maxsize, math.inf])
    @pytest.mark.parametrize("batches", ["ab", Unsized(2)], ids=["sized", "unsized"])
    def test_has_no_total_in_a_run_without_an_end(self, max_epoch: float, batches: Any) -> None:
        runner = Runner()
        story = told(runner)
        runner.on(Event.STARTED, lambda state: state.update(max_epoch=max_epoch))
        stop_at(runner, 3)
        runner.run(batches)
        assert story[0][1]["total"] is None
        assert story[-1] == ("close",)

    @pytest.mark.parametrize("in_another_process", [False, True])
    @pytest.mark.parametrize(
        ("batches", "initial", "total", "n_updates"), [("ab", 2, 5, 3), (Unsized(2), 1, 3, 2)]
    )
    def test_goes_on_where_it_stood(
        self, in_another_process: bool, batches: Any, initial: int, total: int, n_updates: int
    ) -> None:
        runner = Runner()
        stop_at(runner, 3)  # before the bar has seen the batch
        story = told(runner)
        runner.run(batches, max_epoch=3)
        assert story[-1] == ("close",)
        if in_another_process:
            state = pickle.loads(pickle.dumps(runner.state))
            runner = Runner()
            story = told(runner)
            runner.state = state
        story.clear()
        runner.resume()
        (_, bounds), *updates, close = story
        assert (bounds["initial"], bounds["total"]) == (initial, total)
        assert updates == [("update", 1)] * n_updates
        assert close == ("close",)

    def test_goes_on_with_the_next_epoch_after_a_stop_between_two(self) -> None:
        runner = Runner()
        story = told(runner)
        runner.on(Event.EPOCH_FINISHED.once(), stop())
        runner.run("ab", max_epoch=2)
        story.clear()
        runner.resume()
        bar = ("bar", {"initial": 2, "total": 4})
        assert story == [bar, ("update", 1), ("update", 1), ("close",)]

    def test_begins_again_in_a_new_run(self) -> None:
        runner = Runner()
        story = told(runner)
        for _ in range(2):
            story.clear()
            runner.run("ab")
            assert story[0] == ("bar", {"initial": 0, "total": 2})

    def test_that_heard_of_no_end_is_closed_when_the_next_run_begins(self) -> None:
        runner = Runner()
        end = runner.stream(Event.FINISHED)
        end.add(lambda state: state.update(running=False), layer=Layer.DISPLAY)
        story = told(runner)
        runner.run("a")
        assert [one[0] for one in story] == ["bar", "update"]
        runner.run("a")
        assert [one[0] for one in story] == ["bar", "update", "close", "bar", "update"]

    def test_is_closed_when_the_run_fails(self) -> None:
        runner = Runner()
        story = told(runner)
        runner.on(Event.EPOCH_FINISHED, lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            runner.run("a", max_epoch=2)
        assert story[-1] == ("close",)

    @pytest.mark.parametrize("batches", ["a", Unsized(1)], ids=["sized", "unsized"])
    def test_that_cannot_advance_is_closed_and_made_again_in_the_next_epoch(
        self, batches: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        story = list[str]()

        class Bar:
            def __init__(self, batches: object, **kwargs: Any) -> None:
                story.append(f"{kwargs['initial']}/{kwargs['total']}")

            def set_postfix(self, **stats: object) -> None: ...

            def update(self, n: int) -> None:
                raise OSError("full")

            def close(self) -> None:
                story.append("close")

        runner = Runner()
        ProgressBar(per="run", tqdm_cls=Bar).attach_on(runner)
        runner.run(batches, max_epoch=2)
        assert story == ["0/2", "close", "1/2", "close"]
        assert len(caplog.records) == 1

    def test_is_none_in_a_run_without_epochs(self) -> None:
        runner = Runner()
        story = told(runner)
        runner.run("a", max_epoch=0)
        assert story == []


class TestOnTheScreen:
    def test_it_tells_the_epoch_and_the_position(self) -> None:
        runner = Runner()
        screen = drawn(runner, desc="epoch {epoch}/{max_epoch}", leave=False)
        runner.run("ab", max_epoch=2)
        expected = ["epoch 1/2 0/4 it", "epoch 1/2 1/4 it", "epoch 1/2 2/4 it"]
        assert drawings(screen) == [*expected, "epoch 2/2 3/4 it", "epoch 2/2 4/4 it"]

    def test_it_counts_epochs_of_batches_without_a_length(self) -> None:
        runner = Runner()
        screen = drawn(runner, desc="run")
        runner.run(Unsized(2), max_epoch=2)
        assert drawings(screen) == ["run 0/2 epoch", "run 1/2 epoch", "run 2/2 epoch"]

    def test_its_total_follows_the_length_of_the_epochs_and_their_number(self) -> None:
        runner = Runner()
        screen = drawn(runner)

        @runner.on(Event.EPOCH_STARTED)
        def change(state: State) -> None:
            state["batches"] = "abc"[: state["epoch"]]
            state["max_epoch"] = 3

        runner.run("abc", max_epoch=2)
        assert drawings(screen) == [
            "0/3 it",
            *("1/3 it", "2/5 it", "3/5 it"),
            *("4/6 it", "5/6 it", "6/6 it"),
        ]

    def test_the_total_of_the_user_stays(self) -> None:
        runner = Runner()
        screen = drawn(runner, total=9)
        runner.run("ab", max_epoch=2)
        assert drawings(screen)[-1] == "4/9 it"

    def test_a_length_that_is_known_later_does_not_change_what_it_counts(self) -> None:
        runner = Runner()
        screen = drawn(runner)
        later = Event.EPOCH_STARTED.where(lambda state: state["epoch"] == 2)
        runner.on(later, lambda state: state.update(batches="abc"))
        runner.run(Unsized(2), max_epoch=2)
        assert drawings(screen) == ["0/2 epoch", "1/2 epoch", "2/2 epoch"]

    def test_it_is_beside_the_bars_of_the_epochs(self) -> None:
        runner = Runner()
        screen = drawn(runner, desc="run")
        looks: Any = {"bar_format": "{desc} {n}/{total} {unit}", "mininterval": 0, "leave": False}
        ProgressBar(file=screen, desc="epoch {epoch}", **looks).attach_on(runner)
        runner.run("ab", max_epoch=2)
        seen = drawings(screen)
        for text in ("run 4/4 it", "epoch 1 2/2 it", "epoch 2 2/2 it"):
            assert any(text in one for one in seen)

    @pytest.mark.parametrize("order", [("run", "epoch"), ("epoch", "run")])
    @pytest.mark.parametrize("is_error", [False, True])
    def test_it_is_closed_after_the_bars_of_the_epochs(
        self, order: tuple[str, str], is_error: bool
    ) -> None:
        runner = Runner()
        closed: list[str] = []

        class Bar:
            def __init__(self, _: object, desc: str, **kwargs: object) -> None:
                self.desc = desc

            def set_postfix(self, **stats: object) -> None: ...

            def update(self, n: int) -> None: ...

            def close(self) -> None:
                closed.append(self.desc)

        for per in order:
            ProgressBar(per=per, tqdm_cls=Bar, desc=per).attach_on(runner)
        runner.on(Event.BATCH, lambda _: raise_(Boom()) if is_error else runner.stop())
        with pytest.raises(Boom) if is_error else nullcontext():
            runner.run("ab")
        assert closed == ["epoch", "run"]

    def test_a_bar_that_cannot_be_drawn_is_made_again_in_the_next_epoch(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Screen(io.StringIO):
            is_broken = True

            def write(self, text: str) -> int:
                if self.is_broken:
                    raise OSError("full")
                return super().write(text)

        runner, screen = Runner(), Screen()
        looks: Any = {"bar_format": "{n}/{total}", "mininterval": 0}
        ProgressBar(per="run", file=screen, **looks).attach_on(runner)
        runner.on(Event.EPOCH_FINISHED, lambda _: setattr(screen, "is_broken", False))
        runner.run("ab", max_epoch=2)
        assert drawings(screen) == ["2/4", "3/4", "4/4"]
        assert [record.levelno for record in caplog.records] == [logging.ERROR]

    def test_a_bar_that_is_disabled_draws_nothing(self) -> None:
        runner = Runner()
        screens = [drawn(runner, desc="{epoch}", disable=disable) for disable in (True, None)]
        runner.run("ab", max_epoch=2)
        assert [screen.getvalue() for screen in screens] == ["", ""]


class TestADescription:
    def test_has_the_values_of_the_state_when_each_epoch_begins(self) -> None:
        runner = Runner()
        runner.state.update(fold=3, rate=torch.tensor(0.5))
        story = told(runner, per="epoch", desc="fold {fold}, {epoch} of {max_epoch}, {rate}")
        runner.run("", max_epoch=2)
        bars = [kwargs["desc"] for name, *rest in story if name == "bar" for kwargs in rest]
        assert bars == ["fold 3, 1 of 2, 0.5", "fold 3, 2 of 2, 0.5"]

    @pytest.mark.parametrize("desc", ["{}", "{0}", "{{epoch}", "{no key}", "}{", "{missing!r}"])
    def test_with_other_braces_stays_as_it_is(self, desc: str) -> None:
        runner = Runner()
        story = told(runner, per="epoch", desc=desc)
        runner.run("")
        assert story[0][1]["desc"] == desc.replace("{epoch}", "1")

    def test_of_another_kind_stays_as_it_is(self) -> None:
        runner = Runner()
        story = told(runner, desc=None)
        runner.run("", max_epoch=2)
        assert story == [("bar", {"initial": 0, "total": 0, "desc": None}), ("close",)]

    @pytest.mark.parametrize("can_describe", [True, False])
    def test_is_told_to_a_bar_of_the_user_that_can_change_it(self, can_describe: bool) -> None:
        runner = Runner()
        story = told(runner, desc="epoch {epoch}", can_describe=can_describe)
        runner.run("", max_epoch=2)
        bar = ("bar", {"initial": 0, "total": 0, "desc": "epoch 1"})
        assert story == [bar, *[("desc", "epoch 2")] * can_describe, ("close",)]


@pytest.mark.parametrize("per", ["batch", ""])
def test_another_span_is_refused(per: str) -> None:
    with pytest.raises(ValueError, match="per must be 'epoch' or 'run', got"):
        ProgressBar(per=per)


def test_a_span_is_a_string() -> None:
    with pytest.raises(TypeError, match="per must be a string"):
        ProgressBar(per=1)  # type: ignore[arg-type]
