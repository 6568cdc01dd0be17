"""Compose what happens in a run with ReactiveX operators: leaps, an average, a stop, an end.

    python examples/custom_pipeline.py

Every event of a runner is a stream, and all operators of ReactiveX work on it. Nothing is learned
here: the batches are the losses of a made-up training, which fall, wobble, and leap twice. The run
stops when their moving average is low.
"""

import math
from collections.abc import Mapping

from reactivex import operators as ops

from rnnr import Event, Runner, State
from rnnr.operators import pipeline, select, stop, when

wobbling = [0.97**n * (1 + 0.1 * math.cos(n * n)) for n in range(1, 101)]
losses = [loss + 2 if n in (24, 58) else loss for n, loss in enumerate(wobbling, 1)]

runner = Runner()
batches = runner.stream(Event.BATCH)


@runner.on(Event.BATCH)
def learn(state: State) -> None:
    state["loss"] = state["batch"]


# 1. Leaps. The state is one dict that changes all the time, so `select` takes out the values
#    that `pairwise` remembers.
def is_leap(pair: tuple[Mapping[str, float], Mapping[str, float]]) -> bool:
    before, now = pair
    return now["loss"] > 2 * before["loss"]


leaps = batches.pipe(select("n_iters", "loss"), ops.pairwise(), ops.filter(is_leap))
leaps.subscribe(lambda pair: print("batch {n_iters}: a leap to {loss:.2f}".format(**pair[1])))


# 2. An average. The result of a stream goes back into the state, for the callbacks after it.
def store(average: float) -> None:
    runner.state["average"], runner.state["converged"] = average, average < 0.2


averages = batches.pipe(select("loss"), ops.scan(lambda mean, loss: 0.9 * mean + 0.1 * loss))
averages.subscribe(store)

# 3. A stop. A pipeline is a callback; this one is added after the average, so it runs after it.
runner.on(Event.BATCH, pipeline(when("converged"), stop()))

# 4. An end. A run without errors is finished or stopped; a selection makes one stream of both.
ends = runner.stream(Event.FINISHED | Event.STOPPED)
ends.pipe(select("n_iters", "average")).subscribe(
    lambda end: print("over at batch {n_iters}: the average is {average:.3f}".format(**end))
)

runner.run(losses)
