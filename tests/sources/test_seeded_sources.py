"""A seeded run with batches that are loaded ahead gives the same numbers as without."""

import random
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from helpers.extras import np, torch
from helpers.threads import GUARD

pytest.importorskip("torch")

from torch.utils.data import DataLoader, TensorDataset

from rnnr import Event, Runner, State
from rnnr.sources import prefetch

# Python 3.12 and later: workers are forked although threads run, as PyTorch does it anyway.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

X = torch.arange(14.0).reshape(14, 1) / 14
DATA = TensorDataset(X, 3 * X)


def same(batches: Any) -> Any:
    return batches


def generators() -> tuple[Any, ...]:
    """Return the states of the global random generators, to compare."""
    numbers = np.random.get_state(legacy=False)
    return random.getstate(), repr(numbers), torch.get_rng_state().numpy().tobytes()


class Training:
    """A seeded training with dropout, and what the generators were at each event."""

    def __init__(self, before_step: Callable[[State], object] = lambda _: None) -> None:
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(
            torch.nn.Linear(1, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)
        )
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.1)
        self.story: list[tuple[str, tuple[Any, ...]]] = []
        self.before_step = before_step
        self.runner = self.new_runner()

    def new_runner(self) -> Runner:
        runner = Runner()
        for event in Event:
            runner.on(event, partial(self.tell, event))

        @runner.on(Event.BATCH)
        def step(state: State) -> None:
            self.before_step(state)
            x, y = state["batch"]
            self.optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(self.model(x), y)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            random.random()
            np.random.rand()

        return runner

    def tell(self, event: Event, _: State) -> None:
        self.story.append((event.name, generators()))

    @property
    def weights(self) -> list[bytes]:
        return [one.detach().numpy().tobytes() for one in self.model.parameters()]


def whole(training: Training, batches: Any) -> None:
    training.runner.run(batches, max_epoch=3)


def stopped_and_resumed(training: Training, batches: Any) -> None:
    stop = Event.BATCH.where(lambda state: state["n_iters"] in (2, 4, 5))
    training.runner.on(stop, lambda state: training.runner.stop())
    training.runner.run(batches, max_epoch=2)
    for _ in range(3):
        training.runner.resume()


def resumed_by_another(training: Training, batches: Any) -> None:
    stop = Event.BATCH.where(lambda state: state["n_iters"] == 6)
    training.runner.on(stop, lambda state: training.runner.stop())
    training.runner.run(batches, max_epoch=2)
    state = training.runner.state
    training.runner = training.new_runner()
    training.runner.state = {**state, "_epoch": dict(state["_epoch"])}
    training.runner.resume()


WORKERS: dict[str, Any] = {"num_workers": 2}


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, 1),
        ({}, 2),
        ({}, 8),
        (WORKERS, 2),
        ({**WORKERS, "persistent_workers": True}, 2),
    ],
    ids=["no workers, 1", "no workers", "no workers, 8", "two workers", "workers that stay"],
)
@pytest.mark.parametrize("program", [whole, stopped_and_resumed, resumed_by_another])
def test_a_shuffled_loader_ahead_changes_no_number(
    options: dict[str, Any], program: Callable[[Training, Any], None], size: int
) -> None:
    trainings = []
    for wrap in (same, lambda batches: prefetch(batches, size)):
        training = Training()
        program(training, wrap(DataLoader(DATA, batch_size=4, shuffle=True, **options)))
        assert training.runner.state["n_iters"] >= 8
        del training.runner.state["batches"]  # workers take long to end in a garbage collection
        trainings.append(training)
    plain, ahead = trainings
    assert ahead.story == plain.story
    assert ahead.weights == plain.weights


class Augmented:
    """Batches with noise, drawn for each batch; tells how many were drawn."""

    def __init__(self, generator: torch.Generator | None) -> None:
        self.generator = generator
        self.n_batches_drawn = 0
        self.is_ahead = threading.Event()

    def __iter__(self) -> Iterator[Any]:
        for x in torch.split(X, 4):
            noise = torch.rand(x.shape, generator=self.generator)
            self.n_batches_drawn += 1
            if self.n_batches_drawn == 2:
                self.is_ahead.set()
            yield x + noise, 3 * x


def wait_until_ahead(state: State) -> None:
    """Step later than the second batch is drawn, as may always happen."""
    source = state["batches"].source
    assert source.is_ahead.wait(GUARD)


def trained(batches: Any, before_step: Callable[[State], object]) -> list[bytes]:
    training = Training(before_step)
    training.runner.run(batches)
    return training.weights


@pytest.mark.parametrize("own", [True, False])
def test_one_that_draws_for_each_batch_needs_a_generator_of_its_own(own: bool) -> None:
    def new() -> Augmented:
        return Augmented(torch.Generator().manual_seed(1) if own else None)

    plain = trained(new(), lambda _: None)
    ahead = trained(prefetch(new()), wait_until_ahead)
    assert (ahead == plain) is own
