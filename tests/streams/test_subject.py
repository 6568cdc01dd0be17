"""The Subject of an event: what it adds to the contract of contracts/test_subject_contract.py."""

import threading
import weakref
from collections.abc import Callable
from functools import partial
from itertools import combinations, count, takewhile
from typing import Any

import pytest
from reactivex import abc
from reactivex.disposable import Disposable
from reactivex.internal import DisposedException

from helpers.faults import call_at_line
from rnnr import Event, Layer, Runner, State
from rnnr.selection import always
from rnnr.streams import Callback, EventSubject
from rnnr.streams._layer import view_layer
from rnnr.streams._selected import only_if
from rnnr.streams._subject import Wrapper, new_subject

SignalHandler = Callable[[EventSubject, abc.DisposableBase, Callback], object]


def item(n: int) -> State:
    return {"running": True, "n": n}


def tell(seen: list[str], name: str, _: State) -> None:
    seen.append(name)


class TestGate:
    @pytest.mark.parametrize("event", set(Event) - {Event.STOPPED, Event.FAILED}, ids=str)
    def test_once_running_is_false_the_remaining_handlers_are_skipped(self, event: Event) -> None:
        seen: list[str] = []
        subject = new_subject(event)
        subject.add(lambda _: seen.append("first"))
        subject.add(lambda state: state.update(running=False))
        subject.add(lambda _: seen.append("skipped"))
        subject.on_next(item(1))
        subject.on_next({"running": False})
        assert seen == ["first"]

    @pytest.mark.parametrize("event", [Event.STOPPED, Event.FAILED], ids=str)
    def test_the_ends_of_a_broken_run_have_no_gate(self, event: Event) -> None:
        seen: list[str] = []
        subject = new_subject(event)
        subject.add(lambda state: state.update(running=False))
        subject.add(lambda _: seen.append("reached"))
        subject.on_next(item(1))
        assert seen == ["reached"]

    @pytest.mark.parametrize("event", [Event.STOPPED, Event.FAILED], ids=str)
    def test_they_reach_every_handler_whatever_the_others_raise(self, event: Event) -> None:
        seen: list[str] = []
        first, second = ValueError("the first"), KeyboardInterrupt("the second")

        def fail(error: BaseException) -> None:
            raise error

        subject = new_subject(event)
        subject.add(lambda _: fail(first))
        subject.add(lambda _: seen.append("between"))
        subject.add(lambda _: fail(second))
        subject.add(lambda _: seen.append("last"))
        with pytest.raises(ValueError, match="the first") as caught:
            subject.on_next(item(1))
        assert seen == ["between", "last"]
        assert caught.value is first
        assert "KeyboardInterrupt: the second" in "".join(first.__notes__)


class TestLayers:
    inwards = ("CLOCK", "USER a", "USER b", "REDUCE", "DISPLAY")
    outwards = ("DISPLAY", "REDUCE", "USER a", "USER b", "CLOCK")

    @pytest.mark.parametrize(
        ("event", "expected"),
        [
            (Event.STARTED, inwards),
            (Event.RESUMED, inwards),
            (Event.EPOCH_STARTED, inwards),
            (Event.BATCH, inwards),
            (Event.EPOCH_FINISHED, outwards),
            (Event.FINISHED, outwards),
            (Event.STOPPED, outwards),
            (Event.FAILED, outwards),
        ],
    )
    def test_opening_events_go_inwards_and_closing_ones_outwards(
        self, event: Event, expected: tuple[str, ...]
    ) -> None:
        seen: list[str] = []
        subject = new_subject(event)
        for name in ("DISPLAY", "USER a", "CLOCK", "REDUCE", "USER b"):
            layer = Layer[name.split()[0]]
            subject.add(lambda _, name=name: seen.append(name), layer=layer)  # type: ignore[misc]
        subject.on_next(item(1))
        assert seen == [*expected]

    def test_callbacks_and_observers_share_the_layer_of_the_user(self) -> None:
        seen: list[str] = []
        runner = Runner()
        runner.on(Event.BATCH, lambda _: seen.append("on"))
        runner.stream(Event.BATCH).subscribe(lambda _: seen.append("subscribe"))
        runner.on(Event.BATCH, lambda _: seen.append("on again"))
        runner.run([1])
        assert seen == ["on", "subscribe", "on again"]


@pytest.mark.parametrize("n", range(6))
class TestAnyNumberOfHandlers:
    """The walk is written out for a few handlers, so each number is tried."""

    def test_all_are_called_in_order(self, n: int) -> None:
        seen: list[int] = []
        subject = EventSubject()
        for i in range(n):
            subject.add(lambda _, i=i: seen.append(i))  # type: ignore[misc]
        subject.on_next(item(1))
        subject.on_next(item(2))
        assert seen == [*range(n)] * 2

    def test_the_gate_is_looked_at_before_each(self, n: int) -> None:
        for stopping in range(n):
            seen: list[int] = []
            runner = Runner()

            def handler(state: State, i: int, seen: list[int] = seen, at: int = stopping) -> None:
                seen.append(i)
                state["running"] = i != at

            for i in range(n):
                runner.on(Event.BATCH, partial(handler, i=i))
            runner.run([1, 2])
            assert seen == [*range(stopping + 1)]

    def test_one_that_leaves_during_a_delivery_is_not_called(self, n: int) -> None:
        for by, leaving in combinations(range(n), 2):
            seen: list[int] = []
            subject = EventSubject()
            subscriptions: list[abc.DisposableBase] = []

            def handler(
                _: State,
                i: int,
                seen: list[int] = seen,
                by: int = by,
                leaving: int = leaving,
                subscriptions: list[abc.DisposableBase] = subscriptions,
            ) -> None:
                seen.append(i)
                if i == by:
                    subscriptions[leaving].dispose()

            subscriptions += [subject.add(partial(handler, i=i)) for i in range(n)]
            left = [i for i in range(n) if i != leaving]
            subject.on_next(item(1))
            subject.on_next(item(2))
            assert seen == left * 2


class TestHandlers:
    def test_one_handler_added_twice_is_called_twice_and_leaves_one_at_a_time(self) -> None:
        seen: list[int] = []
        subject = EventSubject()

        def handler(state: State) -> None:
            seen.append(state["n"])

        first, second = subject.add(handler), subject.add(handler)
        subject.on_next(item(1))
        first.dispose()
        subject.on_next(item(2))
        second.dispose()
        subject.on_next(item(3))
        assert seen == [1, 1, 2]

    def test_a_handler_that_leaves_during_a_delivery_is_skipped_even_after_others_came(
        self,
    ) -> None:
        seen: list[str] = []
        subject = EventSubject()

        def first(_: State) -> None:
            subject.add(lambda _: seen.append("late"))
            second.dispose()

        subject.add(first)
        second = subject.add(lambda _: seen.append("second"))
        subject.on_next(item(1))
        assert seen == []

    def test_a_layer_by_name_is_refused(self) -> None:
        with pytest.raises(TypeError, match="layer must be a Layer, got 'DISPLAY'"):
            EventSubject().add(print, layer="DISPLAY")  # type: ignore[arg-type]

    def test_what_cannot_be_called_is_refused(self) -> None:
        with pytest.raises(TypeError, match="handler must be callable, got 3"):
            EventSubject().add(3)  # type: ignore[arg-type]

    def test_a_disposed_subject_takes_no_handler(self) -> None:
        subject = EventSubject()
        subject.dispose()
        with pytest.raises(DisposedException):
            subject.add(print)

    def test_handlers_end_with_their_subject(self) -> None:
        seen: list[State] = []
        subject = EventSubject()
        subject.add(seen.append)
        subject.on_error(ValueError())
        subject.on_next(item(1))
        assert seen == []

    def test_those_that_left_are_not_kept(self) -> None:
        subject = EventSubject()
        for n in range(100):
            subscription = subject.add(print)
            subject.rebuild()
            subscription.dispose()
            subject.rebuild()
            assert subject.handlers == [], n

    def test_a_completed_subject_takes_no_handler(self) -> None:
        seen: list[State] = []
        subject = EventSubject()
        subject.on_completed()
        subject.add(seen.append)
        subject.on_next(item(1))
        assert seen == []

    def test_handlers_may_come_and_go_from_other_threads_during_a_run(self) -> None:
        runner = Runner()
        batches = runner.stream(Event.BATCH)
        done = threading.Event()
        called: list[int] = []

        def come_and_go() -> None:
            for _ in range(300):
                subscriptions = [batches.add(lambda _: called.append(1)) for _ in range(5)]
                for subscription in subscriptions:
                    subscription.dispose()
            done.set()

        def endless() -> Any:
            while not done.is_set():
                yield 1

        thread = threading.Thread(target=come_and_go)
        thread.start()
        runner.run(endless())
        thread.join()
        before = len(called)
        runner.run([1])
        assert len(called) == before


class TestSignals:
    """A signal handler may add and remove handlers between any two lines."""

    @staticmethod
    def delivered(act: SignalHandler, n: int) -> list[str] | None:
        """Deliver twice, the first time with a signal at a line; return the second delivery."""
        seen: list[str] = []
        acted: list[object] = []
        subject = EventSubject()
        first, *_ = (subject.add(partial(tell, seen, name)) for name in "abc")
        signal = partial(act, subject, first, partial(tell, seen, "d"))
        with call_at_line(n, {"rnnr.streams._subject"}, lambda: acted.append(signal())):
            subject.on_next(item(1))
        seen.clear()
        subject.on_next(item(2))
        return seen if acted else None

    def at_every_line(self, act: SignalHandler, expected: str) -> None:
        deliveries = [
            *takewhile(lambda seen: seen is not None, map(partial(self.delivered, act), count(1)))
        ]
        assert len(deliveries) > 20
        assert deliveries == [[*expected]] * len(deliveries)

    def test_who_comes_while_handlers_are_arranged_is_seen(self) -> None:
        self.at_every_line(lambda subject, _, handler: subject.add(handler), "abcd")

    def test_who_leaves_while_handlers_are_arranged_is_gone(self) -> None:
        self.at_every_line(lambda subject, first, _: first.dispose(), "bc")

    def test_who_comes_where_another_leaves_is_seen(self) -> None:
        def swap(subject: EventSubject, first: abc.DisposableBase, handler: Callback) -> None:
            first.dispose()
            subject.add(handler)

        self.at_every_line(swap, "bcd")


class TestWrapping:
    """What is called in the place of each handler, while somebody asks for it."""

    @staticmethod
    def telling(seen: list[str], name: str) -> Wrapper:
        def wrapper(handler: Callback) -> Callback:
            def wrapped(state: State) -> None:
                seen.append(f"{name} before")
                handler(state)
                seen.append(f"{name} after")

            return wrapped

        return wrapper

    def test_each_handler_is_called_inside_of_what_the_wrapper_made(self) -> None:
        seen: list[str] = []
        subject = EventSubject()
        subject.add(lambda _: seen.append("one"))
        subject.wrap(self.telling(seen, "a"))
        subject.add(lambda _: seen.append("two"))
        subject.on_next(item(1))
        assert seen == ["a before", "one", "a after", "a before", "two", "a after"]

    @pytest.mark.parametrize("event", Event, ids=str)
    def test_after_it_is_disposed_the_handlers_are_as_they_were(self, event: Event) -> None:
        seen: list[str] = []
        subject = new_subject(event)
        subject.add(lambda _: seen.append("handler"))
        subject.rebuild()
        before = subject.handlers
        wrapping = subject.wrap(self.telling(seen, "a"))
        subject.on_next(item(1))
        wrapping.dispose()
        wrapping.dispose()
        subject.on_next(item(2))
        assert seen == ["a before", "handler", "a after", "handler"]
        assert subject.handlers == before

    def test_the_latest_of_several_wrappers_is_the_outermost_and_any_may_leave_first(self) -> None:
        seen: list[str] = []
        subject = EventSubject()
        subject.add(lambda _: seen.append("handler"))
        wrapper = self.telling(seen, "a")
        first, second = subject.wrap(wrapper), subject.wrap(self.telling(seen, "b"))
        subject.on_next(item(1))
        assert seen == ["b before", "a before", "handler", "a after", "b after"]
        seen.clear()
        first.dispose()
        subject.on_next(item(2))
        assert seen == ["b before", "handler", "b after"]
        second.dispose()

    def test_one_function_that_wraps_twice_leaves_one_at_a_time(self) -> None:
        seen: list[str] = []
        subject = EventSubject()
        subject.add(lambda _: None)
        wrapper = self.telling(seen, "a")
        first, second = subject.wrap(wrapper), subject.wrap(wrapper)
        first.dispose()
        subject.on_next(item(1))
        assert seen == ["a before", "a after"]
        second.dispose()
        subject.on_next(item(2))
        assert seen == ["a before", "a after"]

    def test_a_handler_that_leaves_during_a_delivery_is_not_called_nor_is_its_wrapper(
        self,
    ) -> None:
        seen: list[str] = []
        subject = EventSubject()
        subject.wrap(self.telling(seen, "a"))
        subject.add(lambda _: leaving.dispose())
        leaving = subject.add(lambda _: seen.append("left"))
        subject.on_next(item(1))
        assert seen == ["a before", "a after"]

    def test_it_begins_and_ends_with_the_next_delivery(self) -> None:
        seen: list[str] = []
        subject = EventSubject()
        wrappings: list[Disposable] = []

        def switch(state: State) -> None:
            if state["n"] == 1:
                wrappings.append(subject.wrap(self.telling(seen, "a")))
            if state["n"] == 2:
                wrappings[0].dispose()

        subject.add(switch)
        subject.add(lambda state: seen.append(f"handler {state['n']}"))
        for n in (1, 2, 3):
            subject.on_next(item(n))
        wrapped = ["a before", "a after", "a before", "handler 2", "a after"]
        assert seen == ["handler 1", *wrapped, "handler 3"]

    @pytest.mark.parametrize("event", [Event.STOPPED, Event.FAILED], ids=str)
    def test_the_ends_of_a_broken_run_are_wrapped_and_still_reach_every_handler(
        self, event: Event
    ) -> None:
        seen: list[str] = []
        subject = new_subject(event)
        subject.wrap(self.telling(seen, "a"))
        subject.add(lambda _: 1 / 0)
        subject.add(lambda _: seen.append("reached"))
        with pytest.raises(ZeroDivisionError):
            subject.on_next({"running": False})
        assert seen == ["a before", "a before", "reached", "a after"]


@pytest.mark.parametrize("event", Event, ids=str)
def test_views_come_after_all_others_then_what_saves_and_what_stops(event: Event) -> None:
    seen: list[str] = []
    subject = new_subject(event)

    def see(name: str, _: State) -> None:
        seen.append(name)

    last = {view_layer(event): "view", Layer.SAVE: "save", Layer.STOP: "stop"}
    for layer in sorted(Layer, reverse=True):
        name = last.get(layer, "another")
        subject.add(partial(see, name), layer=layer)
    subject.on_next(item(1))
    assert seen == ["another"] * 3 + ["view", "save", "stop"]


class TestSelected:
    def test_a_handler_of_everything_is_left_as_it_is(self) -> None:
        assert only_if(always, print) is print

    def test_another_is_called_with_what_passes_and_keeps_its_name(self) -> None:
        seen: list[int] = []

        def keep(state: State) -> None:
            seen.append(state["n"])

        handler = only_if(lambda state: state["n"] > 1, keep)
        for n in (1, 2, 3):
            handler(item(n))
        assert seen == [2, 3]
        assert handler.__name__ == "keep"

    def test_what_has_no_name_may_be_selected_too(self) -> None:
        seen: list[State] = []
        only_if(lambda _: True, partial(seen.append))(item(1))
        assert seen == [item(1)]


def test_what_removes_a_handler_holds_neither_the_handler_nor_the_subject() -> None:
    class Model:
        """Something large."""

    model = Model()
    alive = weakref.ref(model)
    subject: EventSubject | None = EventSubject()
    assert subject is not None
    removal = subject.add(lambda _, model=model: None)  # type: ignore[misc]
    del model
    subject = None
    assert alive() is None
    removal.dispose()
    assert vars(removal)["is_disposed"]
