"""Fit a number, and record the training and its validation: one run of a sweep.

    python examples/sweep.py [--lr 0.1] [--seed 0]

It records into the folder runs. Start a process for each run, and look at all of them:
python -m rnnr dashboard runs/
"""

import argparse
import random

from rnnr import Event, Runner, State
from rnnr.attachments import MeanReducer
from rnnr.recording import Record

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

random.seed(options.seed)
trainer, evaluator = Runner(), Runner()
trainer.state["weight"] = 0.0


@trainer.on(Event.BATCH)
def train(state: State) -> None:
    error = state["weight"] - random.gauss(3, 1)
    state["weight"] -= options.lr * error
    state["stats"] = {"loss": error**2}


evaluator.on(Event.BATCH, lambda state: state.update(output=(trainer.state["weight"] - 3) ** 2))
MeanReducer("loss").attach_on(evaluator)
trainer.on(Event.EPOCH_FINISHED, lambda _: evaluator.run(range(10)))

name = f"runs/lr-{options.lr}-seed-{options.seed}"
Record(f"{name}.jsonl", config=options).attach_on(trainer)
Record(f"{name}.validation.jsonl").attach_on(evaluator)
trainer.run(range(100), max_epoch=5)
