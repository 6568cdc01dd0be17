"""Train a small neural network on handwritten digits, with JAX, optax and rnnr.

    pip install '.[examples]' jax optax
    python examples/jax_digits.py [--seed 0] [--epochs 30] [--snapshots DIR]

The weights, the state of the optimizer and the random key are in the state of the run: a jitted
step takes them and returns others. It donates their memory, so a callback that keeps weights must
copy them, as early stopping does. Nobody waits for the loss of a batch but the bar, when it draws.
With ``--snapshots`` the run survives a kill: the same command goes on, to the same accuracy.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

try:
    import jax
    import jax.numpy as jnp
    import optax  # type: ignore[import-untyped]
except ModuleNotFoundError as error:
    print(f"skipped: this example needs {error.name}; pip install jax optax", file=sys.stderr)
    sys.exit(0)

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

from rnnr import Event, Runner, State
from rnnr.attachments import MeanReducer, ProgressBar
from rnnr.callbacks import early_stopping, evaluate
from rnnr.durable import Snapshots

Array: TypeAlias = NDArray[Any]
Params: TypeAlias = dict[str, jax.Array]

OPTIMIZER = optax.adam(0.003)


def main(argv: Sequence[str] | None = None) -> float:
    """Train, and return the accuracy of the best weights on the held-out digits."""
    parser = argparse.ArgumentParser(description="Train a small network on handwritten digits.")
    parser.add_argument("--seed", type=int, default=0, help="decides the split and the training")
    parser.add_argument("--epochs", type=int, default=30, help="train no longer than this")
    parser.add_argument("--snapshots", help="save the run in this directory, and go on from there")
    options = parser.parse_args(argv)
    return train(options.seed, options.epochs, options.snapshots)


def train(seed: int, max_epoch: int, snapshots: str | None = None) -> float:
    """Train under one seed."""
    rng = np.random.default_rng(seed)
    training, validation, held_out = split_digits(rng)
    params = new_params(rng)

    trainer, evaluator = Runner(), Runner()
    trainer.state.update(params=params, opt_state=OPTIMIZER.init(params), key=jax.random.key(seed))

    @trainer.on(Event.BATCH)
    def learn(state: State) -> None:
        state["key"], key = jax.random.split(state["key"])
        new = step(state["params"], state["opt_state"], key, *state["batch"])
        state["params"], state["opt_state"], loss = new
        state["stats"] = {"loss": loss}  # an array in the making

    @evaluator.on(Event.BATCH)
    def measure(state: State) -> None:
        images, labels = state["batch"]
        scores = forward(trainer.state["params"], images)
        state["n_correct"] = jnp.sum(scores.argmax(axis=1) == labels)
        state["size"] = len(labels)

    MeanReducer("accuracy", value="n_correct").attach_on(evaluator)
    ProgressBar(stats="stats", desc="training", leave=False).attach_on(trainer)
    trainer.on(Event.EPOCH_FINISHED, evaluate(evaluator, [validation], prefix="validation_"))

    @trainer.on(Event.EPOCH_FINISHED)
    def show(state: State) -> None:
        state["best_epoch"] = state["epoch"]  # restored, so in the end it is that of the best
        percent = 100 * float(state["validation_accuracy"])
        print(f"epoch {state['epoch']:2}: validation accuracy {percent:.1f} %")

    restore = ["params", "best_epoch"]
    early_stopping("validation_accuracy", "max", restore=restore).attach_on(trainer)
    if snapshots:
        Snapshots(snapshots, generators=[rng]).attach_on(trainer)
    trainer.run(Batches(*training, rng), max_epoch)

    evaluator.run([held_out])
    accuracy = float(evaluator.state["accuracy"])
    epoch, best_epoch = trainer.state["epoch"], trainer.state["best_epoch"]
    print(f"held-out accuracy {100 * accuracy:.1f} % after {epoch} epochs, best epoch {best_epoch}")
    return accuracy


def new_params(rng: np.random.Generator, n_hidden: int = 256) -> Params:
    """Return random weights."""
    hidden = rng.normal(0, math.sqrt(2 / 64), (64, n_hidden))
    output = rng.normal(0, math.sqrt(2 / n_hidden), (n_hidden, 10))
    params = {"hidden": hidden, "bias": np.zeros(n_hidden), "output": output}
    return {name: jnp.asarray(weights, "float32") for name, weights in params.items()}


def forward(params: Params, images: Any) -> jax.Array:
    """Return the scores ``(batch, 10)`` of images ``(batch, 64)``."""
    return jax.nn.relu(images @ params["hidden"] + params["bias"]) @ params["output"]


def loss_of(params: Params, key: jax.Array, images: jax.Array, labels: jax.Array) -> jax.Array:
    """Return the mean cross-entropy of images with noise."""
    noise = 0.25 * jax.random.normal(key, images.shape)
    scores = forward(params, images + noise)
    losses: jax.Array = optax.softmax_cross_entropy_with_integer_labels(scores, labels)
    return losses.mean()


@partial(jax.jit, donate_argnums=(0, 1))
def step(
    params: Params, opt_state: Any, key: jax.Array, images: jax.Array, labels: jax.Array
) -> tuple[Any, Any, jax.Array]:
    """Return other weights, another state of the optimizer, and the loss."""
    loss, gradients = jax.value_and_grad(loss_of)(params, key, images, labels)
    updates, opt_state = OPTIMIZER.update(gradients, opt_state)
    return optax.apply_updates(params, updates), opt_state, loss


def split_digits(rng: np.random.Generator) -> list[tuple[Array, Array]]:
    """Return images and labels to train on, to validate on, and held out until the end."""
    images, labels = load_digits(return_X_y=True)
    parts = np.split(rng.permutation(len(labels)), [1197, 1437])
    return [(images[part].astype("float32") / 16, labels[part]) for part in parts]


class Batches:
    """Digits in batches of one size, so that the step is compiled once, in a new order each time.

    The few that are left over are in another epoch.
    """

    def __init__(
        self, images: Array, labels: Array, rng: np.random.Generator, size: int = 32
    ) -> None:
        self.images, self.labels, self.rng, self.size = images, labels, rng, size

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        order = self.rng.permutation(len(self.labels))
        for some in order[: len(self) * self.size].reshape(len(self), self.size):
            yield self.images[some], self.labels[some]

    def __len__(self) -> int:  # the bar shows it as its total
        return len(self.labels) // self.size


if __name__ == "__main__":
    main()
