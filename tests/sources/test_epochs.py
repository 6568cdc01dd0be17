"""`epochs_of` cuts a long pass over batches into epochs, which go on where the last one stood."""

import gc
import itertools
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.events import delivered, stop_at
from helpers.extras import torch
from helpers.faults import Boom
from helpers.sources import Endless, Failing, Watched, plain_too, wait_for
from helpers.threads import in_thread
from rnnr import Event, RnnrWarning, Runner
from rnnr.attachments import ProgressBar
from rnnr.sources import buffered, epochs_of, prefetch

CUT: Any = epochs_of([1], 1)

ANY_FLOAT: Any = 1.5


def by_epoch(runner: Runner) -> list[list[Any]]:
    """Return the list to which the runner adds a list of the batches of each epoch."""
    epochs: list[list[Any]] = []
    runner.on(Event.EPOCH_STARTED, lambda _: epochs.append([]))
    runner.on(Event.BATCH, lambda state: epochs[-1].append(state["batch"]))
    return epochs


class Loader:
    """The numbers below n, without a length; it counts how often it is iterated."""

    def __init__(self, n: int) -> None:
        self.n, self.n_iterated = n, 0

    def __iter__(self) -> Iterator[int]:
        self.n_iterated += 1
        yield from range(self.n)


@plain_too
@pytest.mark.parametrize(
    ("n_batches", "n", "expected"),
    [
        (5, 2, [[0, 1], [2, 3], [4], [0, 1], [2, 3]]),
        (4, 2, [[0, 1], [2, 3], [0, 1], [2, 3], [0, 1]]),
        (2, 9, [[0, 1], [0, 1], [0, 1], [0, 1], [0, 1]]),
        (1, 1, [[0], [0], [0], [0], [0]]),
        (0, 3, [[], [], [], [], []]),
    ],
)
def test_each_epoch_goes_on_where_the_last_one_stood(
    kind: Callable[[Any], Any], n_batches: int, n: int, expected: list[list[int]]
) -> None:
    runner = Runner()
    epochs = by_epoch(runner)
    batches = epochs_of(kind(range(n_batches)), n)
    runner.run(batches, max_epoch=5)
    assert epochs == expected
    runner.run(batches)
    assert epochs[-1] == expected[0]


def test_an_endless_loader_is_iterated_once_and_asked_for_no_batch_more() -> None:
    drawn = list[int]()

    class Counting:
        def __iter__(self) -> Iterator[int]:
            for i in itertools.count():
                drawn.append(i)
                yield i

    runner = Runner()
    epochs = by_epoch(runner)
    runner.on(Event.EPOCH_FINISHED, lambda _: drawn.append(-1))
    runner.run(epochs_of(Counting(), 2), max_epoch=2)
    assert epochs == [[0, 1], [2, 3]]
    assert drawn == [0, 1, -1, 2, 3, -1]


@given(
    n_batches=st.integers(0, 7),
    n=st.integers(1, 4),
    stops=st.lists(st.integers(1, 14), max_size=4),
    ends=st.sets(st.integers(1, 14), max_size=3),
    elsewhere=st.booleans(),
)
def test_stops_and_other_processes_change_nothing(
    n_batches: int, n: int, stops: list[int], ends: set[int], elsewhere: bool
) -> None:
    def made(epochs: list[tuple[int, int]], stops: list[int]) -> Runner:
        runner = Runner()
        runner.on(Event.BATCH, lambda state: epochs.append((state["epoch"], state["batch"])))
        runner.on(
            Event.BATCH.where(lambda state: state["n_iters"] in ends), lambda _: runner.end_epoch()
        )
        stop_at(runner, *stops)
        return runner

    expected, told = list[tuple[int, int]](), list[tuple[int, int]]()
    made(expected, []).run(epochs_of(Loader(n_batches), n), max_epoch=4)
    runner = made(told, stops)
    runner.run(epochs_of(Loader(n_batches), n), max_epoch=4)
    for _ in stops:
        if elsewhere:
            state = pickle.loads(pickle.dumps(runner.state))
            runner = made(told, [one for one in stops if one > state["n_iters"]])
            runner.state = state
        runner.resume()
    assert told == expected


def test_a_loader_that_fails_is_iterated_again_and_what_the_pass_has_drawn_is_skipped() -> None:
    loader, runner = Loader(5), Runner()
    epochs = by_epoch(runner)
    failing = Failing(3, Boom())
    batches = epochs_of(failing, 2)
    with suppress(Boom):
        runner.run(batches, max_epoch=3)
    assert epochs == [[0, 1], [2]]
    batches.source = loader
    runner.resume()
    assert epochs == [[0, 1], [2, 3], [4]]
    assert loader.n_iterated == 1


def test_an_iterator_is_cut_and_its_end_is_warned_of() -> None:
    runner = Runner()
    epochs = by_epoch(runner)
    with pytest.warns(RnnrWarning, match="epoch 3 needs batches that can be iterated again"):
        runner.run(epochs_of(iter(range(4)), 2), max_epoch=3)
    assert epochs == [[0, 1], [2, 3], []]


def test_the_position_in_an_iterator_is_lost_in_another_process_also_between_epochs() -> None:
    first, other = Runner(), Runner()
    first.on(Event.EPOCH_FINISHED, lambda _: first.stop())
    first.run(epochs_of(iter(range(9)), 2), max_epoch=3)
    other.state = dict(first.state)
    with pytest.raises(RuntimeError, match="cannot be resumed after 2 batches"):
        other.resume()


def test_a_pass_that_another_process_has_left_is_forgotten_with_its_batches() -> None:
    first, other = Runner(), Runner()
    first.on(Event.EPOCH_FINISHED, lambda _: first.stop())
    first.run(epochs_of(range(9), 2), max_epoch=3)
    other.state = {**first.state, "batches": [7, 8]}
    epochs = by_epoch(other)
    other.resume()
    assert epochs == [[7, 8], [7, 8]]
    assert "_pass" not in other.state["_run"]


def test_other_batches_that_a_callback_sets_begin_from_their_beginning() -> None:
    runner = Runner()
    epochs = by_epoch(runner)
    others = iter([epochs_of(range(10, 20), 2), [7], epochs_of(range(10, 20), 2)])
    runner.on(
        Event.EPOCH_STARTED.where(lambda state: state["epoch"] > 1),
        lambda state: state.update(batches=next(others)),
    )
    runner.run(epochs_of(range(9), 2), max_epoch=4)
    assert epochs == [[0, 1], [10, 11], [7], [10, 11]]


def test_a_stop_while_the_next_epoch_waits_for_its_first_batch_loses_nothing() -> None:
    source, runner = Watched(), Runner()
    seen, waiting = delivered(runner), threading.Event()
    runner.on(Event.EPOCH_STARTED.where(lambda state: state["epoch"] == 2), lambda _: waiting.set())
    with in_thread(lambda: runner.run(epochs_of(source, 1), max_epoch=2)):
        wait_for(source.subscribed)
        source.on_next(1)
        wait_for(waiting)
        runner.stop()
    assert (seen, runner.state["epoch"]) == ([1], 2)
    source.subscribed.clear()
    with in_thread(runner.resume):
        wait_for(source.subscribed)
        source.on_next(2)
    assert seen == [1, 2]


def test_what_a_sensor_emits_between_two_epochs_is_kept() -> None:
    source, runner = Watched(), Runner()
    epochs = by_epoch(runner)
    runner.on(Event.EPOCH_FINISHED, lambda state: source.on_next(state["epoch"] * 10))
    with in_thread(lambda: runner.run(epochs_of(source, 1), max_epoch=3)):
        wait_for(source.subscribed)
        source.on_next(1)
    assert epochs == [[1], [10], [20]]


def test_a_shuffling_loader_of_pytorch_with_workers_shows_every_item_once() -> None:
    pytest.importorskip("torch")
    items: Any = range(10)
    loader = torch.utils.data.DataLoader(items, batch_size=2, shuffle=True, num_workers=2)
    runner = Runner()
    epochs = by_epoch(runner)
    runner.run(epochs_of(loader, 2), max_epoch=6)
    assert [len(epoch) for epoch in epochs] == [2, 2, 1] * 2
    for some in (epochs[:3], epochs[3:]):
        shown = [i for epoch in some for batch in epoch for i in batch.tolist()]
        assert sorted(shown) == [*range(10)]


def test_the_iterator_is_let_go_of_with_the_pass_or_by_close() -> None:
    class Numbers:
        def __iter__(self) -> Iterator[int]:
            return map(int, range(4))

    runner = Runner()
    runner.run(epochs_of(Numbers(), 3), max_epoch=2)
    assert "_pass" not in runner.state["_run"]
    endless = weakref.ref(loader := Endless())
    runner.run(epochs_of(loader, 3), max_epoch=2)
    runner.close()
    runner.state.clear()
    del loader
    gc.collect()
    assert endless() is None


def test_it_has_the_length_of_an_epoch_for_a_bar() -> None:
    assert len(epochs_of(Endless(), 7)) == 7
    assert len(epochs_of(range(3), 7)) == 3
    assert epochs_of([], 7)
    assert repr(epochs_of(prefetch([1]), 7)) == "epochs_of(prefetch([1], size=2), 7)"
    runner = Runner()
    ProgressBar(disable=True).attach_on(runner)
    runner.run(epochs_of(Endless(), 2), max_epoch=2)
    assert runner.state["n_iters"] == 4


@pytest.mark.parametrize(
    ("misuse", "error", "match"),
    [
        (lambda: epochs_of(3, 1), TypeError, r"source must be iterable, got 3 \(int\); pass a"),
        (lambda: epochs_of([1], 0), ValueError, "n must be an integer of 1 or more, got 0"),
        (lambda: epochs_of([1], ANY_FLOAT), TypeError, "n must be an integer"),
        (lambda: epochs_of(CUT, 1), TypeError, "cut the source itself"),
        (lambda: prefetch(CUT), TypeError, r"write epochs_of\(prefetch\(loader\), n"),
        (lambda: buffered(CUT), TypeError, "an Observable or an async iterable"),
        (lambda: iter(CUT), TypeError, "not iterable"),
    ],
)
def test_bad_input_is_refused(misuse: Callable[[], Any], error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        misuse()
