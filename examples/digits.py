"""Train a small neural network on handwritten digits, with NumPy and rnnr's `Runner`.

    pip install '.[examples]'
    python examples/digits.py [--seed 0] [--epochs 40] [--out DIR] [--snapshots DIR]

It shows what most trainings need: shuffled mini-batches, a progress bar, a second runner that
evaluates after every epoch, early stopping, and a checkpoint of the best model. At the end this
model is evaluated on digits that neither the training nor the choice of the epoch has seen. The
digits come with scikit-learn: 1797 images of 8 by 8 pixels. One seed decides everything. With
``--snapshots`` it survives a kill: the same command goes on, to the same accuracy.
"""

import argparse
import math
import pickle
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

from rnnr import Event, Runner, State
from rnnr.attachments import MeanReducer, ProgressBar
from rnnr.callbacks import checkpoint, early_stopping
from rnnr.durable import Snapshots

Array: TypeAlias = NDArray[Any]
Model: TypeAlias = dict[str, Array]


def main(argv: Sequence[str] | None = None) -> float:
    """Train, keep the best model, and return its accuracy on the held-out digits."""
    parser = argparse.ArgumentParser(description="Train a small network on handwritten digits.")
    parser.add_argument("--seed", type=int, default=0, help="decides the split and the training")
    parser.add_argument("--epochs", type=int, default=40, help="train no longer than this")
    parser.add_argument("--out", help="keep the best model in this directory")
    parser.add_argument("--snapshots", help="save the run in this directory, and go on from there")
    options = parser.parse_args(argv)
    kept = options.out or options.snapshots  # a killed run must find its best model again
    with nullcontext(kept) if kept else TemporaryDirectory() as out:
        return train(options.seed, options.epochs, out, options.snapshots)


def train(seed: int, max_epoch: int, out: str, snapshots: str | None = None) -> float:
    """Train under one seed; the best model is in the directory ``out`` afterwards."""
    rng = np.random.default_rng(seed)
    training, validation, held_out = split_digits(rng)

    trainer, evaluator = Runner(), Runner()
    trainer.state["model"] = evaluator.state["model"] = new_model(rng)
    adam = Adam(trainer.state["model"])

    @trainer.on(Event.BATCH)
    def add_noise(state: State) -> None:
        images, labels = state["batch"]
        state["batch"] = images + rng.normal(0, 0.25, images.shape), labels

    @trainer.on(Event.BATCH)
    def learn(state: State) -> None:
        images, labels = state["batch"]  # with the noise: callbacks run in order
        hidden, log_p = forward(state["model"], images)
        adam.step(state["model"], gradients(state["model"], images, hidden, log_p, labels))
        state["stats"] = {"loss": cross_entropy(log_p, labels) / len(labels)}

    @evaluator.on(Event.BATCH)
    def evaluate(state: State) -> None:
        images, labels = state["batch"]
        _, log_p = forward(state["model"], images)
        state["loss_sum"] = cross_entropy(log_p, labels)
        state["n_correct"] = np.sum(log_p.argmax(axis=1) == labels)
        state["size"] = len(labels)  # the last batch is smaller: the means are over digits

    MeanReducer("loss", value="loss_sum").attach_on(evaluator)
    MeanReducer("accuracy", value="n_correct").attach_on(evaluator)
    ProgressBar(stats="stats", desc="training", leave=False, mininterval=0.02).attach_on(trainer)

    def validate(state: State) -> None:
        evaluator.run(Batches(*validation))
        epoch, loss = state["epoch"], evaluator.state["loss"]
        state["validation_loss"] = loss
        state["better"] = loss < state.get("best_loss", math.inf)
        if state["better"]:
            state["best_epoch"], state["best_loss"] = epoch, loss
            percent = 100 * evaluator.state["accuracy"]
            print(f"epoch {epoch:2}: validation loss {loss:.3f}, accuracy {percent:.1f} %")

    # In this order: the checkpoint reads state["better"], early stopping the loss.
    trainer.on(Event.EPOCH_FINISHED, [validate, checkpoint("model", when="better", under=out)])
    early_stopping("validation_loss", patience=5).attach_on(trainer)
    if snapshots:
        every = Event.BATCH.every(50) | Event.EPOCH_FINISHED
        Snapshots(snapshots, every=every, generators=[rng], adam=adam).attach_on(trainer)
    trainer.run(Batches(*training, rng), max_epoch)

    best_path = trainer.state["_saved_model"][-1]
    evaluator.state["model"] = pickle.loads(best_path.read_bytes())  # noqa: S301  (our own file)
    evaluator.run(Batches(*held_out))
    accuracy = float(evaluator.state["accuracy"])
    epoch, best_epoch = trainer.state["epoch"], trainer.state["best_epoch"]
    print(f"held-out accuracy {100 * accuracy:.1f} % after {epoch} epochs, best epoch {best_epoch}")
    return accuracy


def split_digits(rng: np.random.Generator) -> list[tuple[Array, Array]]:
    """Return images and labels to train on, to validate on, and held out until the end."""
    images, labels = load_digits(return_X_y=True)
    training, validation, held_out = np.split(rng.permutation(len(labels)), [1197, 1437])
    training = np.repeat(training, 4)  # an epoch shows each digit four times, with different noise
    return [(images[part] / 16, labels[part]) for part in (training, validation, held_out)]


class Batches:
    """Digits in batches, in a new order each time if a generator is given."""

    def __init__(
        self, images: Array, labels: Array, rng: np.random.Generator | None = None, size: int = 32
    ) -> None:
        self.images, self.labels, self.rng, self.size = images, labels, rng, size

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        order = np.arange(len(self.labels))
        if self.rng is not None:
            self.rng.shuffle(order)
        for some in np.split(order, range(self.size, len(order), self.size)):
            yield self.images[some], self.labels[some]

    def __len__(self) -> int:  # the runner does not need it; the bar shows it as its total
        return math.ceil(len(self.labels) / self.size)


def new_model(rng: np.random.Generator, n_hidden: int = 256) -> Model:
    """Return random weights: plain arrays, so that any process can load the checkpoint."""
    return {
        "hidden": rng.normal(0, math.sqrt(2 / 64), (64, n_hidden)),
        "hidden_bias": np.zeros(n_hidden),
        "output": rng.normal(0, math.sqrt(2 / n_hidden), (n_hidden, 10)),
        "output_bias": np.zeros(10),
    }


def forward(model: Model, images: Array) -> tuple[Array, Array]:
    """Return the hidden units ``(batch, hidden)`` and the log-probabilities ``(batch, 10)``."""
    hidden = np.maximum(images @ model["hidden"] + model["hidden_bias"], 0)
    logits = hidden @ model["output"] + model["output_bias"]
    return hidden, logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def cross_entropy(log_p: Array, labels: Array) -> float:
    """Return the sum over the batch of the labels' negative log-probabilities."""
    return float(-log_p[np.arange(len(labels)), labels].sum())


def gradients(model: Model, images: Array, hidden: Array, log_p: Array, labels: Array) -> Model:
    """Return the gradients of the mean cross-entropy, by name as in the model."""
    by_logit = (np.exp(log_p) - np.eye(10)[labels]) / len(labels)
    by_hidden = by_logit @ model["output"].T * (hidden > 0)
    return {
        "hidden": images.T @ by_hidden,
        "hidden_bias": by_hidden.sum(axis=0),
        "output": hidden.T @ by_logit,
        "output_bias": by_logit.sum(axis=0),
    }


class Adam:
    """Adam, of Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015."""

    def __init__(self, model: Model, rate: float = 0.003) -> None:
        self.rate, self.n_steps = rate, 0
        self.mean = {name: np.zeros_like(weights) for name, weights in model.items()}
        self.square = {name: np.zeros_like(weights) for name, weights in model.items()}

    def step(self, model: Model, gradients: Model) -> None:
        """Change the weights in place."""
        self.n_steps += 1
        for name, gradient in gradients.items():
            self.mean[name] += 0.1 * (gradient - self.mean[name])
            self.square[name] += 0.001 * (gradient**2 - self.square[name])
            mean = self.mean[name] / (1 - 0.9**self.n_steps)
            square = self.square[name] / (1 - 0.999**self.n_steps)
            model[name] -= self.rate * mean / (np.sqrt(square) + 1e-8)

    def state_dict(self) -> dict[str, Any]:
        """Return what changes."""
        return {"n_steps": self.n_steps, "mean": self.mean, "square": self.square}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` has returned."""
        self.n_steps, self.mean, self.square = state["n_steps"], state["mean"], state["square"]


if __name__ == "__main__":
    main()
