"""What a callback holds and nothing saves is told of, however it holds it; what is saved is not."""

import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.training import Model
from rnnr import Event, RnnrWarning, Runner, State
from rnnr.durable import Snapshots
from rnnr.sources import prefetch

Handler = Callable[[State], object]

MODEL = Model()
model = Model()
"""Its name is that of an attribute, too."""


class Trainer:
    """Holds what it trains, as scripts do."""

    def __init__(self) -> None:
        self.model = Model()

    def step(self, state: State) -> None:
        self.model.step(0.0)


def by_method() -> Handler:
    return Trainer().step


def by_a_method_that_a_function_calls() -> Handler:
    trainer = Trainer()
    return lambda state: trainer.step(state)


def by_dict() -> Handler:
    config = {"models": [Model()]}
    return lambda _: config["models"][0].step(0.0)


def by_namespace() -> Handler:
    config = SimpleNamespace(model=Model())
    return lambda _: config.model.step(0.0)


def by_default() -> Handler:
    def step(state: State, own: Model = Model()) -> None:  # noqa: B008
        own.step(0.0)

    return step


def by_keyword_default() -> Handler:
    def step(state: State, *, own: Model = Model()) -> None:  # noqa: B008
        own.step(0.0)

    return step


def by_global_in_an_inner_function() -> Handler:
    def step(state: State) -> None:
        def inner() -> None:
            MODEL.step(0.0)

        inner()

    return step


HOLDERS = [
    by_method,
    by_a_method_that_a_function_calls,
    by_dict,
    by_namespace,
    by_default,
    by_keyword_default,
    by_global_in_an_inner_function,
]


def run(folder: Path, handler: Handler, batches: Any = (1, 2), **settings: Any) -> None:
    runner = Runner()
    runner.on(Event.BATCH, handler)
    Snapshots(folder, **settings).attach_on(runner)
    runner.run(batches)


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_model_is_told_of(tmp_path: Path, holder: Callable[[], Handler]) -> None:
    with pytest.warns(RnnrWarning, match=r"a callback that holds .*Model.* which nothing saves"):
        run(tmp_path, holder())


class Net:
    """A part has the name of a global."""

    def __init__(self) -> None:
        self.model = Model()


def test_an_attribute_is_not_the_global_of_its_name(tmp_path: Path) -> None:
    net = Net()
    run(tmp_path, lambda _: net.model.step(0.0), named=net.model)


@pytest.mark.parametrize("raised", [RuntimeError, ZeroDivisionError])
def test_an_object_that_raises_when_it_is_looked_at_breaks_nothing(
    tmp_path: Path, raised: type[Exception]
) -> None:
    class Proxy:
        """Works inside of a request alone, as those of web frameworks do."""

        def __getattr__(self, name: str) -> Any:
            raise raised("outside of a request")

    proxy = Proxy()
    run(tmp_path, lambda _: proxy)


def test_what_only_looks_like_a_model_breaks_nothing(tmp_path: Path) -> None:
    class Odd(Model):
        def parameters(self) -> Any:
            raise ZeroDivisionError

    odd = Odd()
    run(tmp_path, lambda _: odd.step(0.0), odd=odd)


class TestPyTorch:
    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        self.torch = pytest.importorskip("torch")

    def test_a_wrapper_of_a_model_that_is_saved_has_nothing_of_its_own(
        self, tmp_path: Path
    ) -> None:
        net = self.torch.nn.Linear(1, 1)
        wrapper = self.torch.nn.DataParallel(net)
        run(tmp_path, lambda _: wrapper.module, net=net)

    def test_the_weights_of_a_loss_do_not_change(self, tmp_path: Path) -> None:
        loss = self.torch.nn.CrossEntropyLoss(weight=self.torch.ones(2))
        run(tmp_path, lambda _: loss.reduction)

    def test_a_loader_in_a_callback_draws_from_its_generator(self, tmp_path: Path) -> None:
        generator = self.torch.Generator()
        loader = self.torch.utils.data.DataLoader([1, 2], shuffle=True, generator=generator)
        with pytest.warns(RnnrWarning, match=r"holds .*Generator.* Snapshots\(generators="):
            run(tmp_path / "one", lambda _: [*loader])
        run(tmp_path / "other", lambda _: [*loader], generators=[generator])

    @pytest.mark.parametrize(
        "kind", ["batch sampler", "own sampler", "prefetch", "dataset", "dataset of workers"]
    )
    def test_a_generator_anywhere_in_a_loader(self, tmp_path: Path, kind: str) -> None:
        data, generator = self.torch.utils.data, self.torch.Generator()
        own: Any = generator
        sampler = data.RandomSampler(range(4), generator=generator)
        if kind == "batch sampler":
            loader = data.DataLoader(
                [1, 2, 3, 4], batch_sampler=data.BatchSampler(sampler, 2, False)
            )
        elif kind == "own sampler":
            own = random.Random(0)
            loader = data.DataLoader([1, 2, 3, 4], sampler=Sampler(own))
        elif kind == "prefetch":
            loader = prefetch(data.DataLoader([1, 2, 3, 4], sampler=sampler))
        else:
            own = random.Random(0)
            n_workers = 1 if kind == "dataset of workers" else 0
            loader = data.DataLoader(Noisy(own), num_workers=n_workers)
        if kind != "dataset of workers":  # where each epoch begins with the same copy
            with pytest.warns(RnnrWarning, match="got a DataLoader with a generator that is not n"):
                run(tmp_path / "one", print_nothing, loader)
        run(tmp_path / "other", print_nothing, loader, generators=[own])


def print_nothing(_: State) -> None:
    """Do nothing."""


class Sampler:
    """Draws an order from a generator of its own."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def __iter__(self) -> Any:
        return iter(self.rng.sample(range(4), 4))

    def __len__(self) -> int:
        return 4


class Noisy:
    """Draws its items from a generator of its own."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def __len__(self) -> int:
        return 2

    def __getitem__(self, i: int) -> float:
        return self.rng.random()


def test_a_generator_of_numpy_may_be_named_by_its_bits(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    rng = np.random.default_rng(0)
    run(tmp_path / "one", lambda _: rng.random(), generators=[rng.bit_generator])
    bits = rng.bit_generator
    run(tmp_path / "other", lambda _: bits.random_raw(), generators=[rng])


class Estimator:
    """Learns as models of scikit-learn do."""

    def partial_fit(self, x: object) -> None:
        """Learn."""


class Slots:
    """Learns as models of River do, and has no dict of attributes."""

    __slots__ = ()

    def learn_one(self, x: object) -> None:
        """Learn."""


class Booster:
    """Learns as boosters of LightGBM and XGBoost do."""

    def update(self) -> None:
        """Learn."""

    def save_model(self, path: str) -> None:
        """Save."""


class Kept:
    """Saves what it holds."""

    def __init__(self, model: object) -> None:
        self.model = model

    def state_dict(self) -> dict[str, int]:
        return {"n": 1}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Take it."""


@pytest.mark.parametrize("kind", [Estimator, Booster, Slots])
def test_what_learns_by_a_method_is_told_of_unless_an_object_that_is_saved_has_it(
    tmp_path: Path, kind: type[Any]
) -> None:
    model = kind()
    with pytest.warns(RnnrWarning, match=rf"learns .* holds .*{kind.__name__}.* as an attribute"):
        run(tmp_path / "one", lambda _: model)
    run(tmp_path / "other", lambda _: model, kept=Kept(model))


def test_an_estimator_that_has_learned_before_the_run_is_taken_for_one_that_stays_as_it_is(
    tmp_path: Path,
) -> None:
    scaler = Estimator()
    vars(scaler)["mean_"] = 0.5
    run(tmp_path, lambda _: scaler)


def test_what_can_be_updated_alone_does_not_learn(tmp_path: Path) -> None:
    seen: set[int] = set()
    run(tmp_path, lambda state: seen.update([state["batch"]]))
    assert seen == {1, 2}
