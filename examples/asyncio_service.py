"""Train inside an asyncio program, and cancel the training cleanly.

    python examples/asyncio_service.py

A service receives measurements and learns from them. The run is a plain loop, so `arun` gives it
a thread of its own, while the tasks of the service go on in the event loop. `batches` is an async
iterable. The run iterates over it in another loop, on another thread, so it shares no asyncio
object with the service.

To cancel the task stops the run after a whole batch, and `aresume` goes on.
"""

import asyncio
import threading
from collections.abc import AsyncIterator

from rnnr import Event, Runner, State
from rnnr.aio import aresume, arun
from rnnr.sources import buffered


class Measurements:
    """Points of y = 3 x, as if they came over a network."""

    async def __aiter__(self) -> AsyncIterator[tuple[float, float]]:
        print("source: connected")
        try:
            for i in range(100):
                await asyncio.sleep(0)  # a real source waits for its next message here
                yield i % 10 / 10, 3 * (i % 10) / 10
        finally:
            print("source: disconnected")


def fit(state: State) -> None:
    x, y = state["batch"]
    state["slope"] += 0.5 * x * (y - state["slope"] * x)


async def main() -> None:
    """Train, serve meanwhile, cancel, and continue."""
    runner = Runner()
    runner.state["slope"] = 0.0
    runner.on(Event.BATCH, fit)

    # So that the output is the same each time, the training waits at batch 40 until the service
    # has answered. A real training would not wait.
    loop, learned_some, answered = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    @runner.on(Event.BATCH)
    def rest(state: State) -> None:
        if state["n_iters"] == 40 and not answered.is_set():
            loop.call_soon_threadsafe(learned_some.set)
            answered.wait()

    batches = buffered(Measurements(), size=4)
    training = asyncio.create_task(arun(runner, batches))
    await learned_some.wait()
    print(f"service: the slope is about {runner.state['slope']:.1f}, still training")

    training.cancel()
    loop.call_soon(answered.set)
    try:
        await training
    except asyncio.CancelledError:
        n_iters, running = runner.state["n_iters"], runner.state["running"]
        print(f"service: cancelled after {n_iters} batches, running: {running}")

    await aresume(runner)
    print(f"service: resumed; {runner.state['n_iters']} batches, slope {runner.state['slope']:.3f}")


if __name__ == "__main__":
    asyncio.run(main())
