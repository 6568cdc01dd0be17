"""Train, be killed at any moment, and continue with the same command, to the same result.

    python examples/resume.py FOLDER [--epochs 5]

The run saves itself every few batches, in the middle of epochs, in the folder. If there is a
snapshot, it goes on from there. It fits a line to noisy points, in plain Python, in an order that
is random in each epoch.
"""

import argparse
import random
from collections.abc import Iterator, Sequence

from rnnr import Event, Runner, State
from rnnr.attachments import MeanReducer
from rnnr.durable import Snapshots


def main(argv: Sequence[str] | None = None) -> None:
    """Run, or continue the run in the folder."""
    parser = argparse.ArgumentParser(description="Fit a line; survive being killed.")
    parser.add_argument("folder", help="folder of the run: continued if it holds a snapshot")
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args(argv)

    random.seed(0)
    runner = Runner()
    runner.state["weights"] = (0.0, 0.0)
    runner.on(Event.BATCH, train)
    MeanReducer("loss").attach_on(runner)
    runner.on(Event.EPOCH_FINISHED, report)
    Snapshots(options.folder, every=Event.BATCH.every(20)).attach_on(runner)
    runner.run(Points(), options.epochs)
    slope, intercept = runner.state["weights"]
    print(f"y = {slope!r} x + {intercept!r} after {runner.state['n_iters']} batches")


class Points:
    """Noisy points of y = 3 x - 1, with other noise and in another order in each epoch."""

    def __iter__(self) -> Iterator[tuple[float, float]]:
        xs = [i / 500 for i in range(500)]
        random.shuffle(xs)
        for x in xs:
            yield x, 3 * x - 1 + random.gauss(0, 0.1)


def train(state: State) -> None:
    (slope, intercept), (x, y) = state["weights"], state["batch"]
    error = slope * x + intercept - y
    state["weights"] = slope - 0.1 * error * x, intercept - 0.1 * error
    state["output"] = error**2


def report(state: State) -> None:
    print(f"epoch {state['epoch']}: mean squared error {state['loss']!r}", flush=True)


if __name__ == "__main__":
    main()
