"""Watch a training in the browser: the digits of digits.py, slowed enough to watch.

    pip install '.[dashboard,examples]'
    python examples/dashboard.py [--seconds-a-batch 0.04] [--epochs 20] [--record RUN.jsonl]

It logs the address of its page: open it. The page shows the progress of the training and of the
evaluation inside it, a chart of each metric, the log, and which callback is slow: here it is the
one that sleeps. There are buttons to pause, to step, to resume and to stop. After two minutes the
training is over, and the page ends with the process. A recording stays, and you can show it later:
python -m rnnr dashboard RUN.jsonl
"""

import argparse
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from digits import Adam, Array, Batches, cross_entropy, forward, gradients, new_model, split_digits

from rnnr import Event, Runner, State
from rnnr.attachments import MeanReducer
from rnnr.dashboard import Dashboard
from rnnr.recording import Record

log = logging.getLogger("digits")


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command, and train."""
    parser = argparse.ArgumentParser(description="Train on digits, and show it in the browser.")
    parser.add_argument("--seconds-a-batch", type=float, default=0.04, help="how long to sleep")
    parser.add_argument("--epochs", type=int, default=20, help="number of epochs to train")
    parser.add_argument("--record", type=Path, metavar="RUN.jsonl", help="also record the run")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    train(options.seconds_a_batch, options.epochs, options.record)


def train(seconds: float, max_epoch: int, record: Path | None) -> None:
    """Train, with a page that shows it."""
    rng = np.random.default_rng(0)
    training, validation, _ = split_digits(rng)

    trainer, evaluator = Runner(), Runner()
    trainer.state["model"] = evaluator.state["model"] = new_model(rng)
    adam = Adam(trainer.state["model"])

    @trainer.on(Event.BATCH)
    def add_noise(state: State) -> None:
        images, labels = state["batch"]
        state["batch"] = images + rng.normal(0, 0.25, images.shape), labels

    @trainer.on(Event.BATCH)
    def lower_the_rate(state: State) -> None:
        done = state["n_iters"] / (max_epoch * len(state["batches"]))
        adam.rate = state["rate"] = 0.003 * (1 + math.cos(math.pi * done)) / 2

    @trainer.on(Event.BATCH)
    def learn(state: State) -> None:
        images, labels = state["batch"]
        hidden, log_p = forward(state["model"], images)
        adam.step(state["model"], gradients(state["model"], images, hidden, log_p, labels))
        measure(state, log_p, labels)
        state["stats"] = {"loss": state["loss_sum"] / len(labels)}  # of this batch, for the chart

    @evaluator.on(Event.BATCH)
    def evaluate(state: State) -> None:
        images, labels = state["batch"]
        measure(state, forward(state["model"], images)[1], labels)

    def slow_down(_: State) -> None:
        time.sleep(seconds)

    for runner in (trainer, evaluator):
        runner.on(Event.BATCH, slow_down)
        MeanReducer("loss", value="loss_sum").attach_on(runner)  # of an epoch, for its markers
        MeanReducer("accuracy", value="n_correct").attach_on(runner)

    @trainer.on(Event.EPOCH_FINISHED)
    def validate(state: State) -> None:
        evaluator.run(Batches(*validation))
        loss, accuracy = evaluator.state["loss"], evaluator.state["accuracy"]
        log.info("epoch %2d: loss %.3f, accuracy %.1f %%", state["epoch"], loss, 100 * accuracy)

    dashboard = Dashboard()
    dashboard.attach_on(trainer, "rate")  # a key of the state, beside the metrics that it finds
    dashboard.attach_on(evaluator, name="validation")
    if record is not None:
        Record(record, "rate").attach_on(trainer)
    trainer.run(Batches(*training, rng), max_epoch)


def measure(state: State, log_p: Array, labels: Array) -> None:
    state["loss_sum"] = cross_entropy(log_p, labels)
    state["n_correct"] = np.sum(log_p.argmax(axis=1) == labels)
    state["size"] = len(labels)


if __name__ == "__main__":
    main()
