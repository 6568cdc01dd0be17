"""Train, be killed at any moment, and continue with the same command, to the same result.

    python examples/resume.py RUN.pkl

The run saves its state every few batches, in the middle of epochs. If the file exists, the run
continues from there. It fits a line to noisy points, in plain Python. A run needs two things to
survive `kill -9`: everything that changes is in the state, and the order of each epoch depends
only on the number of the epoch.
"""

import argparse
import pickle
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from rnnr import Event, Layer, Runner, State
from rnnr.attachments import MeanReducer
from rnnr.files import write_atomic


def main(argv: Sequence[str] | None = None) -> None:
    """Run, or continue the run in the file."""
    parser = argparse.ArgumentParser(description="Fit a line; survive being killed.")
    parser.add_argument("run", type=Path, help="file of the run: continued if it exists")
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args(argv)

    runner = Runner()
    runner.state["weights"] = (0.0, 0.0)
    runner.on(Event.EPOCH_STARTED, set_epoch)
    runner.on(Event.RESUMED, set_epoch)
    runner.on(Event.BATCH, train)
    MeanReducer("loss").attach_on(runner)
    runner.on(Event.EPOCH_FINISHED, report)

    def save(state: State) -> None:
        if state["n_iters"] % 20 == 0:
            kept = {key: state[key] for key in state.keys() - {"batches"}}
            write_atomic(options.run, lambda file: pickle.dump(kept, file))

    # The innermost layer runs after the reducer has taken the batch.
    runner.stream(Event.BATCH).add(save, layer=Layer.DISPLAY)

    if options.run.exists():
        saved = pickle.loads(options.run.read_bytes())  # noqa: S301  (our own file)
        runner.state.update(saved, batches=Points(), max_epoch=options.epochs)
        runner.resume()
    else:
        runner.run(Points(), options.epochs)
    slope, intercept = runner.state["weights"]
    print(f"y = {slope!r} x + {intercept!r} after {runner.state['n_iters']} batches")


class Points:
    """Noisy points of y = 3 x - 1, in an order that depends on the epoch."""

    epoch = 0

    def __iter__(self) -> Iterator[tuple[float, float]]:
        noise, order = random.Random(0), random.Random(self.epoch)  # noqa: S311  (no secrets)
        xs = [i / 500 for i in range(500)]
        points = [(x, 3 * x - 1 + noise.gauss(0, 0.1)) for x in xs]
        order.shuffle(points)
        return iter(points)


def set_epoch(state: State) -> None:
    state["batches"].epoch = state["epoch"]


def train(state: State) -> None:
    (slope, intercept), (x, y) = state["weights"], state["batch"]
    error = slope * x + intercept - y
    state["weights"] = slope - 0.1 * error * x, intercept - 0.1 * error
    state["output"] = error**2


def report(state: State) -> None:
    print(f"epoch {state['epoch']}: mean squared error {state['loss']!r}", flush=True)


if __name__ == "__main__":
    main()
