"""Train a classifier of scikit-learn on handwritten digits, batch by batch, with rnnr.

    pip install '.[examples]'
    python examples/scikit_learn_digits.py [--seed 0] [--epochs 40] [--out DIR] [--snapshots DIR]

The classifier learns by ``partial_fit``. Early stopping and snapshots need its state: a pickle of
it. Joblib writes the best one, together with the scaler, as a pipeline that predicts. With
``--snapshots`` the run survives a kill: the same command goes on, to the same accuracy.
"""

import argparse
import pickle
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import joblib  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits  # type: ignore[import-untyped]
from sklearn.neural_network import MLPClassifier  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

from rnnr import Event, Runner, State
from rnnr.attachments import MeanReducer, ProgressBar
from rnnr.callbacks import checkpoint, early_stopping, evaluate
from rnnr.durable import Snapshots

Array: TypeAlias = NDArray[Any]


def main(argv: Sequence[str] | None = None) -> float:
    """Train, keep the best pipeline, and return its accuracy on the held-out digits."""
    parser = argparse.ArgumentParser(description="Train a classifier on handwritten digits.")
    parser.add_argument("--seed", type=int, default=0, help="decides the split and the training")
    parser.add_argument("--epochs", type=int, default=40, help="train no longer than this")
    parser.add_argument("--out", help="keep the best pipeline in this directory")
    parser.add_argument("--snapshots", help="save the run in this directory, and go on from there")
    options = parser.parse_args(argv)
    kept = options.out or options.snapshots  # a killed run must find its best pipeline again
    with nullcontext(kept) if kept else TemporaryDirectory() as out:
        return train(options.seed, options.epochs, out, options.snapshots)


def train(seed: int, max_epoch: int, out: str, snapshots: str | None = None) -> float:
    """Train under one seed; the best pipeline is in the directory ``out`` afterwards."""
    np.random.seed(seed)
    images, labels = load_digits(return_X_y=True)
    training, validation, held_out = np.split(np.random.permutation(len(labels)), [1197, 1437])
    scaler = StandardScaler().fit(images[training])
    classifier = MLPClassifier((64,), learning_rate_init=0.005, random_state=seed)
    pipeline = make_pipeline(scaler, classifier)

    trainer, evaluator = Runner(), Runner()

    @trainer.on(Event.BATCH)
    def learn(state: State) -> None:
        some = state["batch"]
        x, y = scaler.transform(images[some]), labels[some]
        classifier.partial_fit(x, y, classes=np.arange(10))  # all, since the batch may lack one
        state["stats"] = {"loss": classifier.loss_}

    @evaluator.on(Event.BATCH)
    def measure(state: State) -> None:
        some = state["batch"]
        state["n_correct"] = np.sum(pipeline.predict(images[some]) == labels[some])
        state["size"] = len(some)

    MeanReducer("accuracy", value="n_correct").attach_on(evaluator)
    ProgressBar(stats="stats", desc="training", leave=False).attach_on(trainer)

    @trainer.on(Event.EPOCH_FINISHED)
    def count(state: State) -> None:
        state["best_epoch"] = state["epoch"]  # restored, so in the end it is that of the best

    name, dump = "validation_accuracy", joblib.dump
    keep = checkpoint("model", pipeline, best=name, mode="max", under=out, using=dump, ext="joblib")
    trainer.on(Event.EPOCH_FINISHED, evaluate(evaluator, [validation], prefix="validation_"))
    trainer.on(Event.EPOCH_FINISHED, [keep, show])
    early_stopping(name, "max", restore="best_epoch").attach_on(trainer)
    if snapshots:
        Snapshots(snapshots, classifier=Pickled(classifier)).attach_on(trainer)
    trainer.run(Shuffled(training), max_epoch)

    pipeline = joblib.load(trainer.state["_saved_model"][-1])  # our own file
    evaluator.run([held_out])
    accuracy = float(evaluator.state["accuracy"])
    epoch, best_epoch = trainer.state["epoch"], trainer.state["best_epoch"]
    print(f"held-out accuracy {100 * accuracy:.1f} % after {epoch} epochs, best epoch {best_epoch}")
    return accuracy


def show(state: State) -> None:
    """Print how good the classifier is after an epoch."""
    print(f"epoch {state['epoch']:2}: accuracy {100 * state['validation_accuracy']:.1f} %")


class Pickled:
    """An estimator with a state, so that it can be saved and restored."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def state_dict(self) -> dict[str, bytes]:
        """Return a pickle of it."""
        # Twice, since an estimator and a copy of it may have other pickles, of the same values.
        copy = pickle.loads(pickle.dumps(self.estimator))  # noqa: S301  (just made)
        return {"pickle": pickle.dumps(copy)}

    def load_state_dict(self, state: dict[str, bytes]) -> None:
        """Go on from what `state_dict` has returned."""
        loaded = pickle.loads(state["pickle"])  # noqa: S301  (our own file)
        vars(self.estimator).clear()
        vars(self.estimator).update(vars(loaded))


class Shuffled:
    """Rows in batches, in a new order each time."""

    def __init__(self, rows: Array, size: int = 32) -> None:
        self.rows, self.size = rows, size

    def __iter__(self) -> Iterator[Array]:
        order = np.random.permutation(self.rows)
        yield from np.split(order, range(self.size, len(order), self.size))

    def __len__(self) -> int:  # the bar shows it as its total
        return -(-len(self.rows) // self.size)


if __name__ == "__main__":
    main()
