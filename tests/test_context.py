"""A thread of ours sees what the one sees for whom it works."""

import contextvars
import decimal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, Mock

import pytest
import reactivex
from reactivex import operators as ops

from helpers.extras import np, torch
from helpers.threads import on_thread
from rnnr import Event, Runner
from rnnr._context import as_owner
from rnnr.operators import select, states
from rnnr.sources import buffered, prefetch

variable = contextvars.ContextVar("variable", default="the default")
network = torch.nn.Linear(1, 1)


@contextmanager
def default_device(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def autocast_dtype(kind: str, dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_autocast_dtype(kind)
    torch.set_autocast_dtype(kind, dtype)
    try:
        yield
    finally:
        torch.set_autocast_dtype(kind, before)


@contextmanager
def set_variable(value: str) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


@contextmanager
def several() -> Iterator[None]:
    with torch.inference_mode(), torch.enable_grad(), torch.device("meta"), set_variable("mine"):
        yield


SURROUNDINGS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "a context variable": lambda: set_variable("mine"),
    "the precision of decimals": lambda: decimal.localcontext(prec=5),
    "what NumPy does with errors": lambda: np.errstate(divide="raise", over="ignore"),
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "a device": lambda: torch.device("meta"),
    "the default device": lambda: default_device("meta"),
    "the default type": lambda: default_dtype(torch.float64),
    "half precision": lambda: torch.autocast("cpu", dtype=torch.float16),
    "half precision without a cache": lambda: torch.autocast("cpu", cache_enabled=False),
    "the type of half precision": lambda: autocast_dtype("cuda", torch.bfloat16),
    "several": several,
}


def surroundings() -> dict[str, Any]:
    """Return what a loader may find around it, and what comes of it."""
    made = torch.ones(1)
    return {
        "variable": variable.get(),
        "precision": decimal.getcontext().prec,
        "errors": np.geterr(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "device": (torch.get_default_device(), made.device),
        "type": (torch.get_default_dtype(), made.dtype),
        "half": [
            (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
            for kind in ("cpu", "cuda")
        ],
        "cache": torch.is_autocast_cache_enabled(),
        "graph": made.device.type == "cpu" and network(made.to(network.weight.dtype)).requires_grad,
    }


class Loader:
    def __iter__(self) -> Iterator[Any]:
        yield surroundings()


class AsynchronousLoader:
    async def __aiter__(self) -> AsyncIterator[Any]:
        yield surroundings()


def subscribed() -> reactivex.Observable[Any]:
    return reactivex.defer(lambda _: reactivex.of(surroundings()))


def another_run() -> reactivex.Observable[Any]:
    return Runner().observe(Loader()).pipe(states(Event.BATCH), select("batch"))


KINDS: dict[str, Callable[[], Any]] = {
    "loaded ahead": lambda: prefetch(Loader()),
    "an Observable": subscribed,
    "an async iterable": AsynchronousLoader,
    "another run": another_run,
}
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def first_batch(batches: Any) -> Any:
    runner = Runner()
    runner.run(batches)
    return runner.state["batch"]


@kinds
@pytest.mark.parametrize("around", SURROUNDINGS.values(), ids=SURROUNDINGS)
def test_a_source_sees_what_the_run_sees(
    kind: Callable[[], Any], around: Callable[[], AbstractContextManager[object]]
) -> None:
    without = first_batch(Loader())
    with around():
        plain, ahead = first_batch(Loader()), first_batch(kind())
    assert ahead == plain != without


@kinds
def test_a_source_that_is_set_to_work_again_sees_what_the_run_sees_then(
    kind: Callable[[], Any],
) -> None:
    runner = Runner()
    runner.on(Event.STARTED, lambda state: runner.stop())
    with set_variable("at first"):
        runner.run(kind())
    with set_variable("then"):
        runner.resume()
    assert runner.state["batch"]["variable"] == "then"


def test_one_that_had_to_wait_sees_it_too_when_the_run_goes_on() -> None:
    class Endless:
        def __iter__(self) -> Iterator[str]:
            while True:
                yield variable.get()

    seen = []

    def stop(state: dict[str, Any]) -> None:
        seen.append(state["batch"])
        if len(seen) in (1, 3):
            runner.stop()

    runner = Runner()
    runner.on(Event.BATCH, stop)
    for value in ("at first", "then"):
        with set_variable(value):
            runner.resume() if seen else runner.run(prefetch(Endless(), size=1))
    assert (seen[0], seen[-1]) == ("at first", "then")


@kinds
def test_what_it_changes_itself_the_run_does_not_see(kind: Callable[[], Any]) -> None:
    def change() -> dict[str, Any]:
        variable.set("changed")
        decimal.getcontext().prec = 7
        np.seterr(all="raise")
        torch.set_grad_enabled(False)
        torch.set_default_device("meta")
        torch.set_autocast_enabled("cpu", True)
        return before()

    before = surroundings
    with set_variable("mine"), decimal.localcontext(prec=5):
        expected = surroundings()
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(globals(), "surroundings", change)
            assert first_batch(kind())["variable"] == "changed"
        assert surroundings() == expected


class Entered:
    """A context manager that tells where it was entered."""

    def __init__(self, story: list[Any], name: object) -> None:
        self.story, self.name = story, name

    def __enter__(self) -> None:
        self.story.append((self.name, threading.get_ident()))

    def __exit__(self, *_: object) -> None:
        self.story.append("left")


def test_the_stream_of_a_gpu_that_is_in_use_is_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    story: list[Any] = []
    stream = object()
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        current_stream=lambda: stream,
        stream=lambda one: Entered(story, one),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    on_thread(as_owner(lambda: story.append(threading.get_ident())))
    (entered, ident), inside, left = story
    assert (entered, ident, left) == (stream, inside, "left")
    assert ident != threading.get_ident()


def test_a_gpu_that_is_not_in_use_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Mock(spec=["is_initialized"])
    cuda.is_initialized.return_value = False
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    ran: list[int] = []
    on_thread(as_owner(lambda: ran.append(1)))
    assert ran == [1]
    assert [call[0] for call in cuda.mock_calls] == ["is_initialized"]


def test_the_errors_of_numpy_1_which_are_of_the_thread_are_carried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    story: list[Any] = []
    numpy = SimpleNamespace(
        geterr=lambda: {"divide": "raise"}, errstate=lambda **kwargs: Entered(story, kwargs)
    )
    monkeypatch.setitem(sys.modules, "numpy", numpy)
    on_thread(as_owner(lambda: None))
    assert story[0][0] == {"divide": "raise"}


@pytest.mark.parametrize(
    "module",
    [None, ModuleType("half imported"), MagicMock(), Mock(), object(), SimpleNamespace(cuda=None)],
    ids=repr,
)
@pytest.mark.parametrize("name", ["torch", "numpy", "decimal"])
def test_what_only_looks_like_a_library_breaks_nothing(
    name: str, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, module)
    runner = Runner()
    runner.run(prefetch([1, 2]))
    assert runner.state["n_iters"] == 2


def test_no_library_is_imported_for_it() -> None:
    program = """
import sys, rnnr
from rnnr.sources import prefetch
before = set(sys.modules)
rnnr.Runner().run(prefetch([1]))
assert not {"torch", "numpy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_an_observable_that_a_buffer_makes_of_a_pipe_sees_it_too() -> None:
    with torch.no_grad(), set_variable("mine"):
        batches = buffered(subscribed().pipe(ops.map(lambda one: one)), size=1)
        plain = first_batch(Loader())
        assert first_batch(batches) == plain
