# mypy: disallow-untyped-decorators=False
# These programs run on two packages, so for mypy they have no types.
"""Programs as they were published with rnnr 0.4.0: the same weights, to the byte.

Research code of its time trains a PyTorch model with dropout on buckets that are shuffled, shows
a bar of tokens, evaluates in an evaluator of its own after each epoch, saves the best model, and
stops early. These programs do so, and run on the published package and on the one under test.
"""

import hashlib
import pickle
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import tqdm

from helpers.extras import np, torch
from rnnr import State

pytest.importorskip("torch")

from torch.nn.functional import cross_entropy

import rnnr.attachments
import rnnr.callbacks
from helpers.published import published

Sample = dict[str, list[int]]
Callback = Callable[[State], None]

N_WORDS, N_TAGS, PADDING = 20, 3, 0


class Program(NamedTuple):
    """A program, and what it is given.

    Attributes:
        rnnr: The package that it imports.
        folder: Where it saves its models.
        rng: What its batches are shuffled with.
        bar: Further arguments of its bars.
        told: What it reports.
    """

    rnnr: Any
    folder: Path
    rng: Any
    bar: dict[str, Any]
    told: list[Any]


# What every such project has: samples, buckets, a model, and factories of callbacks.


def samples(n: int, seed: int) -> list[Sample]:
    rng = random.Random(seed)
    sentences = [[rng.randrange(1, N_WORDS) for _ in range(rng.randint(1, 8))] for _ in range(n)]
    return [{"words": words, "tags": [word % N_TAGS for word in words]} for words in sentences]


class Buckets:
    """Batches of samples of about one length; `rng` shuffles the samples, then the batches."""

    def __init__(self, samples: list[Sample], width: int, size: int, rng: Any = None) -> None:
        buckets: dict[int, list[Sample]] = defaultdict(list)
        for sample in samples:
            buckets[(len(sample["words"]) - 1) // width].append(sample)
        self._buckets = [buckets[key] for key in sorted(buckets)]
        self._size = size
        self._rng = rng

    def __len__(self) -> int:
        return sum(-(-len(bucket) // self._size) for bucket in self._buckets)

    def __iter__(self) -> Iterator[list[Sample]]:
        if self._rng:
            for bucket in self._buckets:
                self._rng.shuffle(bucket)  # in place: the next epoch shuffles what this one left
        size = self._size
        batches = [
            bucket[i : i + size] for bucket in self._buckets for i in range(0, len(bucket), size)
        ]
        if self._rng:
            self._rng.shuffle(batches)
        return iter(batches)


class Tagger(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(N_WORDS, 8, padding_idx=PADDING)
        self.dropout = torch.nn.Dropout(0.4)
        self.tags = torch.nn.Linear(8, N_TAGS)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.tags(self.dropout(self.words(words)))
        return scores


class Counts:
    """Correct ones of all; evaluations add these up."""

    def __init__(self, n_correct: int, n: int) -> None:
        self.n_correct, self.n = n_correct, n

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.n_correct + other.n_correct, self.n + other.n)

    @property
    def accuracy(self) -> float:
        return self.n_correct / self.n


def to_tensors(state: State) -> None:
    longest = max(len(sample["words"]) for sample in state["batch"])
    padded = {
        key: torch.tensor(
            [one[key] + [PADDING] * (longest - len(one[key])) for one in state["batch"]]
        )
        for key in ("words", "tags")
    }
    state["batch"] = {**padded, "mask": padded["words"] != PADDING}


def set_mode(model: torch.nn.Module, training: bool) -> Callback:
    def callback(state: State) -> None:
        model.train(training)

    return callback


def compute_loss(model: torch.nn.Module) -> Callback:
    def callback(state: State) -> None:
        batch = state["batch"]
        scores, mask = model(batch["words"]), batch["mask"]
        state["scores"] = scores
        state["loss"] = cross_entropy(scores[mask], batch["tags"][mask])
        state["stats"] = {"loss": state["loss"].item(), "ppl": state["loss"].exp().item()}
        state["n_items"] = mask.long().sum().item()

    return callback


def update(optimizer: torch.optim.Optimizer) -> Callback:
    def callback(state: State) -> None:
        optimizer.zero_grad()
        state["loss"].backward()
        optimizer.step()

    return callback


def log_stats(told: list[Any], every: int = 2) -> Callback:
    def callback(state: State) -> None:
        if state["n_iters"] % every == 0:
            told.append((state["n_iters"], state["stats"], state.get("extra_stats")))

    return callback


def save_weights(program: Program, *args: Any, **kwargs: Any) -> Any:
    def write(model: torch.nn.Module, path: Path) -> None:
        torch.save(model.state_dict(), path)

    return program.rnnr.callbacks.save(*args, using=write, ext="pth", **kwargs)


def n_tokens(samples: list[Sample]) -> int:
    return sum(len(sample["words"]) for sample in samples)


def evaluate(program: Program, model: Tagger, data: list[Sample]) -> State:
    runner = program.rnnr.Runner()
    event, parts = program.rnnr.Event, program.rnnr.attachments
    runner.state.update({"predictions": [], "_ids": []})
    runner.on(event.BATCH, [to_tensors, set_mode(model, training=False), compute_loss(model)])

    @runner.on(event.BATCH)
    def count(state: State) -> None:
        batch, predictions = state["batch"], state["scores"].argmax(dim=2)
        hits = (predictions == batch["tags"]) & batch["mask"]
        state["output"] = Counts(hits.long().sum().item(), state["n_items"])
        state["by_tag"] = {
            tag: Counts(hits[batch["tags"] == tag].long().sum().item(), 1) for tag in range(N_TAGS)
        }
        state["loss_sum"] = state["loss"].item() * state["n_items"]
        state["size"] = state["n_items"]
        state["predictions"].extend(predictions.tolist())

    bar = parts.ProgressBar(leave=False, total=n_tokens(data), unit="tok", **program.bar)
    bar.attach_on(runner)
    parts.SumReducer("counts").attach_on(runner)
    parts.SumReducer("n", value="n_items").attach_on(runner)
    parts.MeanReducer("mean_loss", value="loss_sum").attach_on(runner)
    parts.LambdaReducer(
        "tags", lambda a, b: {tag: a[tag] + b[tag] for tag in a}, value="by_tag"
    ).attach_on(runner)
    with torch.no_grad():
        runner.run(Buckets(data, 1, 4))
    state: State = runner.state
    tags = {tag: counts.n_correct for tag, counts in state["tags"].items()}
    program.told.append((state["counts"].accuracy, state["n"], state["mean_loss"], tags))
    program.told.append(state["predictions"])
    return state


# The programs.


def train_a_tagger(program: Program) -> torch.nn.Module:
    """Train until the accuracy on held-out samples has not risen for a while."""
    train, dev, test = (samples(n, seed) for seed, n in enumerate([40, 12, 12]))
    event, parts = program.rnnr.Event, program.rnnr.attachments
    model = Tagger()
    adam = torch.optim.Adam(model.parameters(), lr=0.05)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(adam, mode="max", factor=0.5)

    trainer = program.rnnr.Runner()
    parts.EpochTimer().attach_on(trainer)
    total = n_tokens(train)
    parts.ProgressBar(stats="stats", total=total, unit="tok", **program.bar).attach_on(trainer)
    trainer.on(event.BATCH, [to_tensors, set_mode(model, training=True), compute_loss(model)])
    trainer.on(event.BATCH, [update(adam), log_stats(program.told)])

    @trainer.on(event.EPOCH_FINISHED)
    def evaluate_on_dev(state: State) -> None:
        accuracy = evaluate(program, model, dev)["counts"].accuracy
        scheduler.step(accuracy)
        state["better"] = accuracy > state.get("dev_accuracy", 0.0)
        if state["better"]:
            state["dev_accuracy"], state["dev_epoch"] = accuracy, state["epoch"]

    @trainer.on(event.EPOCH_FINISHED)
    def maybe_evaluate_on_test(state: State) -> None:
        if state["better"]:
            state["test_accuracy"] = evaluate(program, model, test)["counts"].accuracy

    trainer.on(
        event.EPOCH_FINISHED,
        [
            program.rnnr.callbacks.maybe_stop_early(patience=2),
            save_weights(program, "model", model, under=program.folder, when="better"),
            save_weights(program, "last", model, under=program.folder, at_most=2),
        ],
    )
    try:
        trainer.run(Buckets(train, 3, 4, program.rng), 30)
    except KeyboardInterrupt:
        program.told.append("interrupted")
    program.told.append({key: trainer.state[key] for key in ("epoch", "n_iters", "running")})
    program.told.append(
        [trainer.state[key] for key in ("dev_accuracy", "dev_epoch", "test_accuracy")]
    )
    for what in ("model", "last"):
        program.told.append([path.name for path in trainer.state[f"_saved_{what}"]])
    return model


def finetune_a_tagger(program: Program) -> torch.nn.Module:
    """Train near some weights for a number of epochs, on what PyTorch's loader shuffles."""
    train, dev = samples(24, 3), samples(12, 4)
    program.rng.shuffle(train)
    event, parts = program.rnnr.Event, program.rnnr.attachments
    model = Tagger()
    origin = {name: weight.clone().detach() for name, weight in model.named_parameters()}
    sgd = torch.optim.SGD(model.parameters(), lr=0.5)
    tuner = program.rnnr.Runner()
    tuner.on(event.BATCH, [to_tensors, set_mode(model, training=True), compute_loss(model)])

    @tuner.on(event.BATCH)
    def keep_near(state: State) -> None:
        squares = [(w - origin[name]).square().sum() for name, w in model.named_parameters()]
        distance = torch.stack(squares).sum()
        state["loss"] = state["loss"] + 0.01 * distance
        state["stats"]["distance"] = distance.item()
        state["extra_stats"] = {"total": state["loss"].item()}

    tuner.on(event.BATCH, [update(sgd), log_stats(program.told)])

    @tuner.on(event.EPOCH_FINISHED)
    def evaluate_on_dev(state: State) -> None:
        state["dev_loss"] = evaluate(program, model, dev)["mean_loss"]

    @tuner.on(event.EPOCH_FINISHED)
    def maybe_evaluate_on_train(state: State) -> None:
        if state["epoch"] == state["max_epoch"]:
            evaluate(program, model, train)

    tuner.on(event.EPOCH_FINISHED, save_weights(program, "model", model, under=program.folder))
    parts.EpochTimer().attach_on(tuner)
    parts.ProgressBar(stats="stats", total=n_tokens(train), unit="tok", **program.bar).attach_on(
        tuner
    )
    loader: Any = torch.utils.data.DataLoader(
        train,  # type: ignore[arg-type]  # has what is needed
        batch_size=5,
        shuffle=True,
        collate_fn=list,
    )
    tuner.run(loader, 3)
    program.told.append({key: tuner.state[key] for key in ("epoch", "n_iters", "dev_loss")})
    return model


def learn_in_two_sittings(program: Program) -> torch.nn.Module:
    """Stop in the middle of an epoch, from a callback of a batch; resume once."""
    event, parts = program.rnnr.Event, program.rnnr.attachments
    model = Tagger()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.MultiplicativeLR(sgd, lambda _: 0.9)
    learner = program.rnnr.Runner()
    parts.ProgressBar(stats="stats", **program.bar).attach_on(learner)
    parts.MeanReducer("mean", value="norm").attach_on(learner)
    learner.on(event.BATCH, [to_tensors, set_mode(model, training=True), compute_loss(model)])
    learner.on(event.BATCH, [update(sgd), log_stats(program.told, every=1)])

    @learner.on(event.BATCH)
    def maybe_stop(state: State) -> None:
        state["norm"] = model.tags.weight.norm().item()
        if state["n_iters"] == 7:
            state["running"] = False

    learner.on(event.EPOCH_FINISHED, lambda _: scheduler.step())
    learner.run(Buckets(samples(20, 5), 3, 4, program.rng), 3)
    program.told.append(learner.state["n_iters"])
    learner.resume()
    program.told.append([learner.state[key] for key in ("epoch", "n_iters", "norm", "mean")])
    return model


PROGRAMS = [train_a_tagger, finetune_a_tagger, learn_in_two_sittings]

RNGS: dict[str, Callable[[], Any]] = {
    "an rng of its own": lambda: np.random.RandomState(12345),
    "random": lambda: random,
    "numpy.random": lambda: np.random,
}

Story = dict[str, Any]


def story(
    package: ModuleType,
    program: Callable[[Program], torch.nn.Module],
    rng: str,
    folder: Path,
    **bar: Any,
) -> Story:
    """Run a program on a package, and return all there is to compare."""
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(12345)
    folder.mkdir()
    given = Program(package, folder, RNGS[rng](), bar, [])
    model = program(given)
    return {
        "told": given.told,
        "weights": {name: weight.numpy().tobytes() for name, weight in model.state_dict().items()},
        "files": {path.name: path.read_bytes() for path in folder.iterdir()},
        "drawn": {
            "random": digest(random.getstate()),
            "numpy": digest(np.random.get_state()),
            "torch": digest(torch.get_rng_state().tolist()),
        },
    }


def digest(state: Any) -> str:
    return hashlib.sha256(pickle.dumps(state)).hexdigest()[:8]


@pytest.mark.parametrize("rng", RNGS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_published_program_gives_the_same_weights(
    program: Callable[[Program], torch.nn.Module], rng: str, tmp_path: Path
) -> None:
    now = story(rnnr, program, rng, tmp_path / "now")
    then = story(published(), program, rng, tmp_path / "then")
    for part, expected in then.items():
        assert now[part] == expected, part


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_bar_that_iterates_over_the_batches_gives_other_weights(
    program: Callable[[Program], torch.nn.Module], tmp_path: Path
) -> None:
    class Bar(tqdm.tqdm):  # type: ignore[type-arg]
        def __init__(self, batches: Any, **kwargs: Any) -> None:
            iter(batches)
            super().__init__(batches, **kwargs)

    then = story(published(), program, "random", tmp_path / "then")
    other = story(published(), program, "random", tmp_path / "other", tqdm_cls=Bar)
    assert other["weights"] != then["weights"]
