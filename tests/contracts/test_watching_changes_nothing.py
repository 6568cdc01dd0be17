"""The law of those who watch: a training is the same with them and without them, to the byte.

Only the loop iterates over the batches, once an epoch. Nobody else asks them for anything but
their length, and that only where a length is shown. Nobody draws a random number.
"""

import hashlib
import pickle
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import reactivex as rx

import rnnr.operators
import rnnr.sources
from helpers.extras import np, torch
from helpers.parts import ATTACHMENTS, PARTS, Attach, parts
from rnnr import Event, Runner, State
from rnnr.attachments import Attachment
from rnnr.sources import buffered, epochs_of, prefetch

N_ITEMS, SIZE, N_EPOCHS = 8, 2, 2
IN_THE_MIDDLE = N_ITEMS // SIZE + 2  # in the second epoch

# Whoever starts the workers of a loader forks a process that has threads, and is warned of it.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:what changes in a run must be saved"),  # not by Snapshots
]


# Batches that are shuffled by each kind of generator, and note who asks them for what.


class Noted:
    """Notes everything that the batches below it are asked for."""

    asked: "Counter[str]"

    def __iter__(self) -> Iterator[Any]:
        self.asked["__iter__"] += 1
        iterator: Iterator[Any] = super().__iter__()  # type: ignore[misc]
        return iterator

    def __len__(self) -> int:
        self.asked["__len__"] += 1
        return N_ITEMS // SIZE

    def __getattr__(self, name: str) -> Any:
        if name == "asked":  # by what a base class does before anything else
            self.asked = Counter()
            return self.asked
        raise self.refused(name)

    def __bool__(self) -> bool:
        raise self.refused("__bool__")

    def __contains__(self, item: object) -> bool:
        raise self.refused("__contains__")

    def __getitem__(self, index: object) -> Any:
        raise self.refused("__getitem__")

    def __reversed__(self) -> Any:
        raise self.refused("__reversed__")

    def __length_hint__(self) -> int:
        raise self.refused("__length_hint__")

    def refused(self, name: str) -> AttributeError:
        self.asked[name] += 1  # a view may catch the error
        return AttributeError(name)


class Shuffled:
    """Batches that draw their order when they are iterated."""

    def __init__(self, shuffle: Callable[[list[float]], None]) -> None:
        self._shuffle = shuffle

    def __iter__(self) -> Iterator[torch.Tensor]:
        items = [float(n) for n in range(N_ITEMS)]
        self._shuffle(items)  # at once, and not as late as a generator would
        return (torch.tensor(items[i : i + SIZE]) for i in range(0, N_ITEMS, SIZE))


class NotedShuffled(Noted, Shuffled):
    pass


class NotedLoader(Noted, torch.utils.data.DataLoader[Any]):  # type: ignore[misc]  # its iterators are Iterators
    pass


def loader(**kwargs: Any) -> NotedLoader:
    items: Any = torch.arange(N_ITEMS, dtype=torch.float32)
    return NotedLoader(items, batch_size=SIZE, shuffle=True, **kwargs)


def noisy(items: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(items) + torch.rand(len(items))  # a worker's seed is drawn by the loader


def numpy_shuffle(items: list[float]) -> None:
    np.random.shuffle(items)


BATCHES: dict[str, Callable[[], Any]] = {
    "random": lambda: NotedShuffled(random.shuffle),
    "numpy": lambda: NotedShuffled(numpy_shuffle),
    "torch": loader,
    "torch, 2 workers": lambda: loader(
        num_workers=2, multiprocessing_context="fork", collate_fn=noisy
    ),
}


# A training with dropout, and all there is to tell of it.


class Story(NamedTuple):
    """What a training did.

    Attributes:
        batches: What the step saw.
        draws: The states of the global generators, at each event and at the end.
        weights: The weights, after each batch.
        asked: How often the batches were asked for what.
    """

    batches: list[list[float]]
    draws: list[tuple[str, str]]
    weights: list[bytes]
    asked: "Counter[str]"


Run = Callable[[Runner, Any], object]


def run(runner: Runner, batches: Any) -> None:
    runner.run(batches, N_EPOCHS)


def train(batches: Any, attach: Attach, run: Run = run, stop_at: int | None = None) -> Story:
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 1))
    sgd = torch.optim.SGD(model.parameters(), lr=0.01)
    story = Story([], [], [], batches.asked)
    runner = Runner()

    def note(name: str, _: State) -> None:
        story.draws.append((name, drawn()))

    for event in Event:
        runner.on(event, partial(note, event.name))

    @runner.on(Event.BATCH)
    def step(state: State) -> None:
        items = state["batch"]
        story.batches.append(items.tolist())
        loss = (model(items[:, None])[:, 0] - items).square().mean()
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        state["output"] = loss.item()
        state["stats"], state["n_items"] = {"loss": loss.item()}, len(items)
        state["weights"] = pickle.dumps([p.tolist() for p in model.parameters()])
        story.weights.append(state["weights"])
        if state["n_iters"] == stop_at and not state.get("stopped"):
            state["stopped"], state["running"] = True, False

    @runner.on(Event.EPOCH_FINISHED)
    def check(state: State) -> None:
        state["better"], state["worse"] = True, False  # nobody has a reason to stop the run

    attach(runner)
    run(runner, batches)
    if stop_at is not None:
        runner.resume()
    story.draws.append(("the end", drawn()))
    return story


def drawn() -> str:
    """Return one word for how far all global generators are."""
    numpy_state: Any = np.random.get_state()
    everything = (random.getstate(), numpy_state, torch.get_rng_state().tolist())
    return hashlib.sha256(pickle.dumps(everything)).hexdigest()[:8]


@cache
def unwatched(kind: str, stop_at: int | None = None) -> Story:
    return train(BATCHES[kind](), lambda runner: None, stop_at=stop_at)


def compare(watched: Story, kind: str, stop_at: int | None = None, sized: bool = False) -> None:
    expected = unwatched(kind, stop_at)
    assert watched.batches == expected.batches
    assert watched.draws == expected.draws
    assert watched.weights == expected.weights
    asked = {**watched.asked, "__len__": 0} if sized else watched.asked
    assert Counter(asked) == expected.asked  # a Counter takes 0 for none


# Those who watch.

SIZED = {
    "Dashboard",
    "Dashboard with a page",
    "Record",
    "Snapshots",  # of a loader of PyTorch, once an epoch
    "bar as it is",
    "bar of a run",
    "bar of a run, the user's",
    "bar of another class",
    "bar for terminals alone",  # as soon as tqdm knows that this is none
    "bar that counts items",
    "bar that is disabled",  # by tqdm, once it has asked
    "reports",
    "tqdm",
}
"""Those who show a length."""

ASKS_A_LIST = {
    "tqdm",
    "bar as it is",
    "bar of a run",
    "bar of a run, the user's",
    "bar of another class",
    "bar that counts items",
}


@pytest.fixture(params=PARTS)
def watcher(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def attach(watcher: str, tmp_path: Path) -> Iterator[Attach]:
    with ExitStack() as at_end:
        yield parts(tmp_path, at_end)[watcher]


@pytest.mark.parametrize("kind", BATCHES)
def test_a_training_is_the_same_with_it_and_without_it(
    watcher: str, attach: Attach, kind: str
) -> None:
    compare(train(BATCHES[kind](), attach), kind, sized=watcher in SIZED)


@pytest.mark.parametrize("kind", ["random", "numpy", "torch"])
def test_a_training_that_is_stopped_and_resumed_is_the_same_with_it_and_without_it(
    watcher: str, attach: Attach, kind: str
) -> None:
    watched = train(BATCHES[kind](), attach, stop_at=IN_THE_MIDDLE)
    compare(watched, kind, IN_THE_MIDDLE, sized=watcher in SIZED)


@pytest.mark.parametrize("kind", BATCHES)
def test_an_observed_run_is_the_same_as_another(kind: str) -> None:
    def observe(runner: Runner, batches: Any) -> None:
        runner.observe(batches, N_EPOCHS).subscribe()

    compare(train(BATCHES[kind](), lambda _: None, observe), kind)


class Asynchronous:
    def __init__(self, batches: Any) -> None:
        self._batches = batches

    async def __aiter__(self) -> AsyncIterator[Any]:
        for batch in self._batches:
            yield batch


SOURCES: dict[str, Callable[[Any], Any]] = {
    "prefetch": prefetch,
    "epochs_of": lambda batches: epochs_of(batches, 1000),
    "buffered async iterable": lambda batches: buffered(Asynchronous(batches)),
    "buffered Observable": lambda batches: buffered(rx.from_iterable(batches)),
    "async iterable": Asynchronous,
    "Observable": rx.from_iterable,
}


def test_every_source_is_among_them() -> None:
    assert set(rnnr.sources.__all__) - {"Buffered", "Epochs"} == {
        "buffered",
        "epochs_of",
        "prefetch",
    }


def run_from(source: str) -> Run:
    return lambda runner, batches: runner.run(SOURCES[source](batches), N_EPOCHS)


@pytest.mark.parametrize("kind", BATCHES)
@pytest.mark.parametrize("source", SOURCES)
def test_batches_that_another_thread_brings_are_the_same_as_others(source: str, kind: str) -> None:
    compare(train(BATCHES[kind](), lambda _: None, run_from(source)), kind)


@pytest.mark.parametrize("kind", BATCHES)
def test_batches_that_are_loaded_ahead_are_the_same_after_a_stop(kind: str) -> None:
    # an asynchronous source begins from its beginning, and would be shuffled again
    watched = train(BATCHES[kind](), lambda _: None, run_from("prefetch"), IN_THE_MIDDLE)
    compare(watched, kind, IN_THE_MIDDLE)


@pytest.mark.parametrize("source", ["prefetch", "async iterable", "Observable"])
def test_a_training_on_batches_of_another_thread_is_the_same_with_it_and_without_it(
    watcher: str, attach: Attach, source: str
) -> None:
    watched = train(BATCHES["random"](), attach, run_from(source))
    compare(watched, "random", sized=watcher in SIZED)


@pytest.mark.parametrize("kind", BATCHES)
def test_only_the_loop_iterates_once_an_epoch_and_asks_for_nothing_else(kind: str) -> None:
    for stop_at in (None, IN_THE_MIDDLE):
        assert unwatched(kind, stop_at).asked == {"__iter__": N_EPOCHS}


# Those who break the law, which have to be found.

CULPRITS: dict[str, Callable[[Any], object]] = {
    "iterates": iter,
    "takes the first": lambda batches: next(iter(batches)),
    "asks for a length": len,
    "asks whether there is one": bool,
    "asks whether it is among them": lambda batches: 0 in batches,
    "asks for the first": lambda batches: batches[0],
    "asks for the last": reversed,
    "asks for what is not there": lambda batches: getattr(batches, "sampler", None),
    "draws": lambda _: random.random(),
    "draws from NumPy": lambda _: np.random.rand(),
    "draws from PyTorch": lambda _: torch.rand(1),
    "sets a seed": lambda _: torch.manual_seed(1),
}


@pytest.mark.parametrize("name", CULPRITS)
@pytest.mark.parametrize(
    "event",
    [Event.STARTED, Event.EPOCH_STARTED, Event.BATCH, Event.EPOCH_FINISHED, Event.FINISHED],
)
def test_whoever_breaks_the_law_is_found(name: str, event: Event) -> None:
    def attach(runner: Runner) -> None:
        runner.on(event, watch)

    def watch(state: State) -> None:
        with suppress(AttributeError):  # as views do
            CULPRITS[name](state["batches"])

    with pytest.raises(AssertionError):
        compare(train(BATCHES["random"](), attach), "random")


class Asked(list[int]):
    """Batches that tell what is asked of them, attributes included."""

    def __init__(self, story: list[str]) -> None:
        super().__init__([1, 2, 3])
        self.story = story

    def __iter__(self) -> Iterator[int]:
        self.story.append("iter")
        return super().__iter__()

    def __len__(self) -> int:
        self.story.append("len")
        return super().__len__()

    def __getattribute__(self, name: str) -> Any:
        if name not in ("story", "__class__"):
            object.__getattribute__(self, "story").append(name)
        return super().__getattribute__(name)


@pytest.mark.parametrize("attachment", ATTACHMENTS)
def test_an_attachment_asks_a_list_for_its_length_once_an_epoch_and_for_nothing_else(
    attachment: str,
) -> None:
    def asked(*attachments: Attachment) -> list[str]:
        story: list[str] = []
        runner = Runner()
        ready = {"stats": {"loss": 1.0}, "n_items": 1, "output": 1.0}
        runner.on(Event.BATCH, lambda state: state.update(ready))
        for each in attachments:
            each.attach_on(runner)
        runner.run(Asked(story), max_epoch=2)
        return story

    without = asked()
    assert without.count("iter") == 2
    one, other = without[: len(without) // 2], without[len(without) // 2 :]
    assert one == other
    length = ["len"] if attachment in ASKS_A_LIST else []
    assert asked(ATTACHMENTS[attachment]()) == [*length, *one] * 2
