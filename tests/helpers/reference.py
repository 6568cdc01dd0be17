"""The order of events, written down a second time: the judge of the runner.

It follows the pseudocode in the docstring of `Event` line by line, knows its batches by index,
and has none of the runner's machinery.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from rnnr import Event

Callback = Callable[[dict[str, Any]], object]


class Reference:
    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self.callbacks: dict[Event, list[Callback]] = defaultdict(list)
        self.epoch_is_open = False
        self.is_ended = False
        self.drawn = 0

    def on(self, event: Event, callback: Callback) -> None:
        self.callbacks[event].append(callback)

    def publish(self, event: Event) -> None:
        for callback in self.callbacks[event]:
            if event in (Event.STOPPED, Event.FAILED) or self.state["running"]:
                callback(self.state)

    def run(self, batches: Sequence[Any], max_epoch: int = 1) -> None:
        self.state.update(batches=batches, max_epoch=max_epoch, n_iters=0, epoch=0)
        self.epoch_is_open = False
        self.begin(Event.STARTED, repeat_last_batch=False)

    def resume(self, repeat_last_batch: bool = False) -> None:
        self.begin(Event.RESUMED, repeat_last_batch)

    def end_epoch(self) -> None:
        self.is_ended = self.is_ended or self.epoch_is_open

    def begin(self, opening: Event, repeat_last_batch: bool) -> None:
        self.state["running"] = True
        try:
            self.publish(opening)
            if self.epoch_is_open and repeat_last_batch and self.drawn:
                self.publish(Event.BATCH)
            self.loop()
        except Exception:
            self.publish(Event.FAILED)
            raise
        finally:
            self.state["running"] = False

    def loop(self) -> None:
        state = self.state
        while state["running"] and (self.epoch_is_open or state["epoch"] < state["max_epoch"]):
            if not self.epoch_is_open:
                state["epoch"] += 1
                self.epoch_is_open, self.is_ended, self.drawn = True, False, 0
                self.publish(Event.EPOCH_STARTED)
            n_batches = len(state["batches"])
            while state["running"] and not self.is_ended and self.drawn < n_batches:
                state["batch"] = state["batches"][self.drawn]
                self.drawn += 1
                state["n_iters"] += 1
                self.publish(Event.BATCH)
            if state["running"] and (self.is_ended or self.drawn == n_batches):
                self.epoch_is_open = False
                self.publish(Event.EPOCH_FINISHED)
        self.publish(Event.FINISHED if state["running"] else Event.STOPPED)
