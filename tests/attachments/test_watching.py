"""What watches changes nothing: the batches, the random numbers and the training stay the same."""

import io
import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from helpers.extras import np, torch

pytest.importorskip("torch")

from torch.utils.data import DataLoader, Dataset

from rnnr import Event, Layer, Runner
from rnnr.attachments import EpochTimer, ProgressBar
from rnnr.state import State

Story = list[Any]


def bar(**settings: Any) -> ProgressBar:
    """Make a bar that is drawn as often as possible."""
    return ProgressBar(**{"file": io.StringIO(), "mininterval": 0, "stats": "stats", **settings})


WATCHERS: dict[str, Callable[[], Any]] = {
    "ProgressBar": bar,
    "ProgressBar with a total": lambda: bar(total=7),
    "ProgressBar that is disabled": lambda: bar(disable=True),
    "ProgressBar for terminals alone": lambda: bar(disable=None),
    "ProgressBar that counts items": lambda: bar(n_items="n_items"),
    "EpochTimer": EpochTimer,
}


class Shuffled:
    """A loader that shuffles whenever it is iterated, with random numbers of all three kinds."""

    def __init__(self) -> None:
        self.items = list(range(6))
        self.n_iterations = 0

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[torch.Tensor]:
        self.n_iterations += 1
        random.shuffle(self.items)
        for item in self.items:
            yield torch.full((2,), item + np.random.rand() + torch.rand(1).item())


class Items(Dataset[torch.Tensor]):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, i: int) -> torch.Tensor:
        return torch.full((1,), float(i))


class Loader(DataLoader[torch.Tensor]):
    """PyTorch's own, which counts how often it is iterated."""

    n_iterations = 0

    def __iter__(self) -> Any:
        Loader.n_iterations += 1
        return super().__iter__()


def with_workers(n: int) -> Callable[[], Any]:
    return lambda: Loader(Items(), batch_size=2, shuffle=True, num_workers=n)


SOURCES: dict[str, Callable[[], Any]] = {
    "shuffled": Shuffled,
    "loader": with_workers(0),
    "loader with 2 workers": with_workers(2),
}


def random_numbers() -> tuple[object, ...]:
    """Return the states of the global generators."""
    numpy, pytorch = np.random.get_state(), torch.get_rng_state()
    return random.getstate(), pickle.dumps(numpy), pytorch.numpy().tobytes()


def trained(batches: Any, *watchers: Any) -> tuple[Story, bytes, int]:
    """Return what was seen at each event, the weights, and how often the batches were iterated."""
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    story: Story = []
    Loader.n_iterations = 0
    runner = Runner()
    weights = torch.zeros(2, requires_grad=True)

    @runner.on(Event.BATCH)
    def train(state: State) -> None:
        dropped = torch.nn.functional.dropout(state["batch"].mean() * weights + 1, 0.5)
        loss = ((dropped - random.random()) ** 2).sum()
        (gradient,) = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            weights.sub_(0.1 * gradient)
        state.update(stats={"loss": loss}, n_items=torch.tensor(2))
        story.append(("batch", state["batch"].tolist()))

    for event in Event:

        def look(_: State, event: Event = event) -> None:
            story.append((event, random_numbers()))

        for layer in Layer:
            runner.stream(event).add(look, layer=layer)
    for watcher in watchers:
        watcher.attach_on(runner)
    runner.on(
        Event.BATCH.where(lambda state: state["n_iters"] == 4).once(), lambda _: runner.stop()
    )
    runner.run(batches, max_epoch=2)
    runner.resume()
    n_iterations = getattr(batches, "n_iterations", Loader.n_iterations)
    return story, weights.detach().numpy().tobytes(), n_iterations


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("watcher", WATCHERS)
@pytest.mark.parametrize("source", SOURCES)
def test_a_training_is_the_same_with_it_and_without_it(source: str, watcher: str) -> None:
    without = trained(SOURCES[source]())
    assert trained(SOURCES[source](), WATCHERS[watcher]()) == without
    assert without[-1] == 2


class Asked(list[int]):
    """Batches that tell what is asked of them."""

    def __init__(self, story: Story) -> None:
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


@pytest.mark.parametrize("watcher", WATCHERS)
def test_it_asks_the_batches_for_their_length_where_it_is_needed_and_for_nothing_else(
    watcher: str,
) -> None:
    def asked(*watchers: Any) -> Story:
        story: Story = []
        runner = Runner()
        runner.on(Event.BATCH, lambda state: state.update(stats={}, n_items=1))
        for watcher in watchers:
            watcher.attach_on(runner)
        runner.run(Asked(story), max_epoch=2)
        return story

    without = asked()
    assert without.count("iter") == 2
    length = ["len"] if watcher in ("ProgressBar", "ProgressBar that counts items") else []
    one, other = (without[: len(without) // 2], without[len(without) // 2 :])
    assert one == other
    assert asked(WATCHERS[watcher]()) == [*length, *one] * 2
