"""A real training that is nice to look at: the digits of examples/digits.py, in larger batches."""

import logging
import math
import runpy
from collections.abc import Collection
from typing import Any

from helpers.extras import np
from helpers.paths import EXAMPLES
from rnnr import Event, Runner, State
from rnnr.attachments import MeanReducer

__all__ = ["digits"]

_SIZE = 128
_N_BATCHES = 20 * 38

logger = logging.getLogger("digits")


def digits() -> tuple[Runner, Runner, Collection[Any]]:
    """Return what trains, what validates after each epoch, and the batches to train on."""
    example = runpy.run_path(str(EXAMPLES / "digits.py"))
    forward, cross_entropy = example["forward"], example["cross_entropy"]
    rng = np.random.default_rng(0)
    training, validation, _ = example["split_digits"](rng)
    trainer, evaluator = Runner(), Runner()
    model = example["new_model"](rng, 1024)
    adam = example["Adam"](model)

    @trainer.on(Event.BATCH)
    def add_noise(state: State) -> None:
        images, labels = state["batch"]
        state["batch"] = images + rng.normal(0, 0.4, images.shape), labels

    @trainer.on(Event.BATCH)
    def learn(state: State) -> None:
        images, labels = state["batch"]
        adam.rate = 0.0005 * (1 + math.cos(math.pi * state["n_iters"] / _N_BATCHES))
        hidden, log_p = forward(model, images)
        adam.step(model, example["gradients"](model, images, hidden, log_p, labels))
        state["stats"] = {
            "loss": cross_entropy(log_p, labels) / len(labels),
            "accuracy": np.mean(log_p.argmax(axis=1) == labels),
            "learning rate": adam.rate,
        }

    @evaluator.on(Event.BATCH)
    def evaluate(state: State) -> None:
        images, labels = state["batch"]
        _, log_p = forward(model, images)
        state["loss_sum"] = cross_entropy(log_p, labels)
        state["n_correct"] = np.sum(log_p.argmax(axis=1) == labels)
        state["size"] = len(labels)

    MeanReducer("loss", value="loss_sum").attach_on(evaluator)
    MeanReducer("accuracy", value="n_correct").attach_on(evaluator)

    @trainer.on(Event.EPOCH_FINISHED)
    def validate(state: State) -> None:
        evaluator.run(example["Batches"](*validation))
        percent = 100 * evaluator.state["accuracy"]
        logger.info("epoch %d: validation accuracy %.1f %%", state["epoch"], percent)

    return trainer, evaluator, example["Batches"](*training, rng, _SIZE)
