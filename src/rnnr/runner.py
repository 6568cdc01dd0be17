"""What runs over batches for some epochs, and what listens to it."""

import sys
import warnings
from collections.abc import AsyncIterable, Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias, TypeVar, overload

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable

from rnnr._callbacks import check_handler, cure_for
from rnnr._errors import (
    RnnrWarning,
    as_integer,
    wrong_type,
)
from rnnr._keys import Keys
from rnnr._loop import loop
from rnnr._pipeline import checked_handler
from rnnr._restored import warn_of_batch_not_reduced, warn_of_restored
from rnnr._run_again import warn_of_cell_run_again
from rnnr._runs import Slot, runs_on_this_thread
from rnnr._shown import as_html, as_text
from rnnr.event import Event
from rnnr.scheduling import idle_trampoline, is_inside_subscription
from rnnr.selection import Selection
from rnnr.sources._epoch_batches import EpochBatches, check_batches
from rnnr.sources._epochs import Epochs
from rnnr.sources._kinds import can_be_iterated
from rnnr.state import (
    EPOCH,
    POSITION_KEYS,
    REDUCER,
    RUN,
    State,
    end_epoch,
    new_run_memory,
)
from rnnr.streams._delivery import Callback
from rnnr.streams._layer import Layer
from rnnr.streams._observed import Emission, Listener, ObservedRun, all_runs
from rnnr.streams._selected import SelectedStream
from rnnr.streams._subject import EventSubject, Streams

__all__ = ["Callback", "Runner", "Source"]

_C = TypeVar("_C", bound=Callback)

Source: TypeAlias = Iterable[Any] | AsyncIterable[Any] | Observable[Any] | Epochs
"""What yields the batches of an epoch."""

Restart: TypeAlias = Callable[[Event, State], AbstractContextManager[tuple[Event | None, State]]]
"""Makes the context of a run that may go on where another process was.

It is called with the opening event and the keys that the state gets before it. What the context
returns is used instead; the event is ``None`` if nothing is left to run."""

_NOTHING = nullcontext()

_MAX_EPOCH_CURE = (
    "pass 0 to run no epoch at all; for a run without an end pass sys.maxsize and stop it from a "
    "callback"
)


class Runner:
    """Runs over batches for some epochs and publishes each `Event` with the run's state.

    The state is a plain dict. Callbacks read it, write to it, and may change these keys:

    * ``batches``: iterable of the batches that make an epoch.
    * ``max_epoch``: number of epochs to run.
    * ``n_iters``: number of batches drawn since the run began.
    * ``running``: ``True`` during a run; set it to ``False`` to stop.
    * ``epoch``: number of the current epoch, from 1.
    * ``batch``: the current batch; the next callback sees what an earlier one put here.
    * ``error``: the exception, only while ``Event.FAILED`` is being delivered.
    * ``stopped_by``: who has stopped the run after a whole event, such as ``"SIGTERM"``.

    Keys that start with an underscore are rnnr's own memory. `pickle.dumps` of the state works
    when the values that you put there pickle; the state of a killed run can be given to
    another runner, which resumes from it.

    Attributes:
        state (dict): The state that callbacks are called with. What it holds before `run`
            is kept. Assign or update it, between two runs, to restore a saved one.

    Example:
        >>> from rnnr import Event, Runner
        >>> runner = Runner()
        >>> @runner.on(Event.BATCH)
        ... def train(state):
        ...     state["total"] = state.get("total", 0) + state["batch"]
        >>> runner.run([1, 2, 3], max_epoch=2)
        >>> runner.state["total"], runner.state["n_iters"]
        (12, 6)

        It shows where its run is and its callbacks in order, in a notebook as a table:

        >>> Runner()
        Runner(has not run)
    """

    def __init__(self) -> None:
        self.state: State = {}
        self._streams = Streams()
        self._batches = EpochBatches()
        self._slot = Slot(self)
        self._latest: object = None
        self._restart: Restart | None = None
        self._keys = Keys()

    def __repr__(self) -> str:
        return as_text(self.state, self._streams, is_running=self._slot.is_running)

    def _repr_html_(self) -> str:
        return as_html(self.state, self._streams, is_running=self._slot.is_running)

    @overload
    def on(self, event: Event | Selection, callbacks: None = None) -> Callable[[_C], _C]: ...
    @overload
    def on(
        self, event: Event | Selection, callbacks: Callback | Iterable[Callback]
    ) -> abc.DisposableBase: ...

    def on(
        self, event: Event | Selection, callbacks: Callback | Iterable[Callback] | None = None
    ) -> Callable[[_C], _C] | abc.DisposableBase:
        """Call back when an event happens.

        Args:
            event: Event to listen to, or a `Selection`, as in ``Event.BATCH.every(100)``.
            callbacks: A callable that accepts the state, or an iterable of such callables,
                called in that order.

        Returns:
            Without ``callbacks`` a decorator for one callback, else a Disposable whose
            ``dispose()`` ends the calls.

        Raises:
            TypeError: If ``event`` is no `Event` or `Selection`, or a callback cannot be
                called. None of the callbacks is added then.
            ValueError: If a callback of rnnr keeps something under a key of the state that another
                part of this runner writes.

        Example:
            >>> from rnnr import Event, Runner
            >>> runner = Runner()
            >>> subscription = runner.on(Event.STARTED, lambda state: print("off we go"))
            >>> runner.run([])
            off we go
            >>> subscription.dispose()
            >>> runner.run([])
        """
        stream = self.stream(event)
        if callbacks is not None:
            return self._add(stream, callbacks)

        def decorator(callback: _C) -> _C:
            self._add(stream, callback)
            return callback

        return decorator

    @overload
    def stream(self, event: Event) -> EventSubject: ...
    @overload
    def stream(self, event: Event | Selection) -> EventSubject | SelectedStream: ...

    def stream(self, event: Event | Selection) -> EventSubject | SelectedStream:
        """Return the Subject of an event, to compose with any ReactiveX operator.

        It never completes and never errors, so it serves every run of this runner. It
        carries the same dict each time: select or copy what is to be kept. For an Observable
        that ends, see `observe` and `runs`.

        What ``pipe`` returns does nothing until it is subscribed to. At the end of a run, an
        `RnnrWarning` tells of what was built and never subscribed to, once, and of its line.

        Args:
            event: Event whose Subject to return, the same object at every call; or a
                `Selection`, for an Observable of the states that it selects.

        Raises:
            TypeError: If ``event`` is no `Event` or `Selection`.

        Example:
            >>> from reactivex import operators as ops
            >>> from rnnr import Event, Runner
            >>> from rnnr.operators import select
            >>> runner = Runner()
            >>> changes = runner.stream(Event.BATCH).pipe(select("batch"), ops.pairwise())
            >>> subscription = changes.subscribe(print)
            >>> runner.run([1, 4, 9])
            (1, 4)
            (4, 9)
        """
        if not isinstance(event, Event):
            if isinstance(event, Selection):
                subjects = {kind: self._streams[kind] for kind in event.predicates()}
                return SelectedStream(event, subjects)
            cure = "write for example Event.BATCH, or Event.BATCH | Event.FINISHED for both"
            raise wrong_type("event", "an Event or a Selection", event, cure)
        return self._streams[event]

    def observe(self, batches: Source, max_epoch: int = 1) -> Observable[Emission]:
        """Return a cold Observable of a run: subscribing runs it.

        It emits an `Emission`, the event and the state, for each event that happens, completes
        when the run ends, and errors when the run fails. Disposing of the subscription stops
        the run at the next gate. The observer takes part in each event as a callback does that
        is added when the run begins. The run is on the thread that subscribes, unless
        ``subscribe_on`` or ``scheduler=`` says otherwise.

        Where its run has failed, the next subscription resumes it, so that ``retry`` goes on
        where the failure was; a batch that its callbacks did not finish is delivered once more.

        To ``await`` it runs on a thread of its own, and returns the last item; to cancel that stops
        the run and waits for its end.

        Args:
            batches: Batches of an epoch, as for `run`.
            max_epoch: Number of epochs to run.

        Raises:
            TypeError: If ``batches`` cannot be iterated or ``max_epoch`` is not an integer.
            ValueError: If ``max_epoch`` is negative.

        Example:
            >>> import reactivex as rx
            >>> from reactivex import operators as ops
            >>> from rnnr import Event, Runner
            >>> from rnnr.operators import select, states
            >>> runner = Runner()
            >>> pretraining, training = runner.observe("ab"), runner.observe("cd", max_epoch=2)
            >>> subscription = rx.concat(pretraining, training).pipe(
            ...     states(Event.BATCH), select("batch"), ops.to_list()
            ... ).subscribe(print)
            ['a', 'b', 'c', 'd', 'c', 'd']
        """
        beginning = _new_beginning(batches, max_epoch)

        def run(listener: Listener) -> None:
            self._go(Event.STARTED, beginning(), listener=listener)

        def resume(repeat_last_batch: bool, listener: Listener) -> None:
            self._check_resumable()
            self._go(Event.RESUMED, {"running": True}, repeat_last_batch, listener)

        return ObservedRun(self, run, resume)

    @property
    def runs(self) -> Observable[Observable[Emission]]:
        """A hot Observable that emits an Observable for each `run` and `resume` to come.

        Each of those emits an `Emission` for each event, completes when its run ends, and errors
        when it fails. So operators that need an end (``last``, ``reduce``, ``to_list``) get one,
        for a subscriber that stays for all runs. The error of a run would end ``flat_map`` for
        all later ones: catch it below, as here.

        Example:
            >>> import reactivex as rx
            >>> from reactivex import operators as ops
            >>> from rnnr import Runner
            >>> runner = Runner()
            >>> n_events = lambda run: run.pipe(ops.count(), ops.catch(rx.of("failed")))
            >>> subscription = runner.runs.pipe(ops.flat_map(n_events)).subscribe(print)
            >>> runner.run("abc")
            7
            >>> runner.run("abc", max_epoch=2)
            12
        """
        return all_runs(self)

    def run(self, batches: Source, max_epoch: int = 1) -> None:
        """Run on batches for a number of epochs, in the order that `Event` tells.

        Args:
            batches: Batches of an epoch. It is iterated again in every epoch and needs no
                length; an iterator, which can be iterated once, serves one epoch. An async
                iterable or an Observable is treated as ``rnnr.sources.buffered(batches)``. For
                epochs that go on where the last one stood see `rnnr.sources.epochs_of`.
            max_epoch: Number of epochs to run.

        Raises:
            TypeError: If ``batches`` cannot be iterated or ``max_epoch`` is not an integer.
            ValueError: If ``max_epoch`` is negative.
            RuntimeError: If this runner is running already.
            BaseException: Whatever leaves a callback or the batches, as it is, with a note
                that tells where.

        Example:
            >>> from rnnr import Event, Runner
            >>> runner = Runner()
            >>> runner.run("ab", max_epoch=2)
            >>> runner.state["epoch"], runner.state["n_iters"], runner.state["batch"]
            (2, 4, 'b')
        """
        self._go(Event.STARTED, _new_beginning(batches, max_epoch)())

    def resume(self, repeat_last_batch: bool = False) -> None:
        """Go on with a stopped or failed run from its state.

        A runner that made the state goes on with the iterator it has. One that was given the
        state of another process iterates over ``state["batches"]`` again and skips what was
        drawn, so shuffle with a seed that you keep.

        Args:
            repeat_last_batch: Whether to deliver the last batch once more. Ignored if the
                epoch is finished, or has drawn nothing.

        Raises:
            RuntimeError: If there is no run to resume, if this runner is running already, if
                ``state["batches"]`` yields fewer batches than the epoch has drawn, or if it can be
                iterated only once, and the position of the epoch in it is lost.
            BaseException: As for `run`.

        Example:
            >>> from rnnr import Event, Runner
            >>> runner = Runner()
            >>> @runner.on(Event.BATCH)
            ... def stop_once(state):
            ...     print(state["batch"])
            ...     if state["batch"] == 2 and not state.get("stopped"):
            ...         state["stopped"] = True
            ...         runner.stop()
            >>> runner.run([1, 2, 3])
            1
            2
            >>> runner.resume()
            3
        """
        self._check_resumable()
        if self._latest is None:  # another process has made the state
            warn_of_restored(self.state, self._callbacks())
            if not repeat_last_batch and self._keys.numbered(REDUCER):
                warn_of_batch_not_reduced(self.state)
        self._go(Event.RESUMED, {"running": True}, repeat_last_batch)

    def stop(self) -> None:
        """Stop the run at the next gate; the same as ``state["running"] = False``.

        It may be called from any thread, and wakes a run that waits for a source which is silent;
        to set the key yourself does not. A run that has not begun yet is not stopped. The
        callbacks that are still to come for the current event are skipped, so go on with
        ``resume(repeat_last_batch=True)`` where a batch that only some callbacks have seen would
        matter.

        Example:
            >>> from rnnr import Event, Runner
            >>> runner = Runner()
            >>> subscription = runner.on(Event.BATCH, lambda state: runner.stop())
            >>> runner.run(range(1000))
            >>> runner.state["n_iters"]
            1
        """
        self.state["running"] = False
        self._batches.wake()

    def end_epoch(self) -> None:
        """End the current epoch after the current batch, while the run goes on.

        All callbacks see the batch. The rest of the batches is not drawn, ``Event.EPOCH_FINISHED``
        is delivered, and the next epoch begins, if there is one. On ``Event.EPOCH_STARTED`` and
        ``Event.RESUMED`` no further batch is drawn at all. A run that is stopped or killed before
        the end of the epoch ends it when it is resumed.

        It may be called from any thread, and wakes a run that waits for a source which is silent; a
        batch that is being loaded is delivered first. If no epoch is open, nothing happens.

        Example:
            >>> from rnnr import Event, Runner
            >>> runner = Runner()
            >>> subscription = runner.on(Event.BATCH.every(3), lambda state: runner.end_epoch())
            >>> @runner.on(Event.EPOCH_FINISHED)
            ... def tell(state):
            ...     print(state["epoch"], state["batch"], state["n_iters"])
            >>> runner.run("abcdefgh", max_epoch=2)
            1 c 3
            2 c 6
        """
        end_epoch(self.state)
        self._batches.wake()

    def close(self) -> None:
        """Let go of the iterator over the batches that is kept for `resume` after a stop.

        So the worker processes of a loader end, and what was loaded ahead is free. The runner can
        run again. To resume goes as in another process: the batches are iterated again, and what
        was drawn is skipped. (Workers that a loader of PyTorch keeps, ``persistent_workers=True``,
        are the loader's own: they end with it.)

        Raises:
            RuntimeError: If the runner is running.
            BaseException: Whatever the source raises while it is closed.

        Example:
            >>> from rnnr import Event, Runner
            >>> runner = Runner()
            >>> stopping = runner.on(Event.BATCH.once(), lambda state: runner.stop())
            >>> runner.run("abc")
            >>> runner.close()
            >>> shown = runner.on(Event.BATCH, lambda state: print(state["batch"]))
            >>> runner.resume()
            b
            c
        """
        if self._slot.is_running:
            raise RuntimeError(
                "a runner is closed between two runs: expected it after the end of run or resume, "
                "got it during one; call stop() first"
            )
        self._batches.close()

    def _add(
        self,
        stream: EventSubject | SelectedStream,
        callbacks: Callback | Iterable[Callback],
    ) -> abc.DisposableBase:
        several = _callables(callbacks)
        if "IPython" in sys.modules:  # a notebook; a script runs once
            for one in several:
                warn_of_cell_run_again(one, stream.callbacks)
        reserved: list[abc.DisposableBase] = []
        try:
            for one in several:
                if hasattr(one, "reserve_on"):  # it keeps something under a key of the state
                    reserved.append(one.reserve_on(self))
        except Exception:
            CompositeDisposable(*reserved).dispose()
            raise
        added = (stream.add_checked(checked_handler(one), Layer.USER) for one in several)
        return CompositeDisposable(*reserved, *added)

    def _callbacks(self) -> list[Callback]:
        return [one for stream in [*self._streams.values()] for one in stream.callbacks]

    def _check_resumable(self) -> None:
        state = self.state
        missing = {*POSITION_KEYS} - state.keys()
        if missing:
            raise RuntimeError(
                "there is no run to resume: expected the state of a run, got one without "
                f"{', '.join(sorted(missing))}; call run first, or restore runner.state"
            )
        self._batches.check_resumable(state)

    def _go(
        self,
        opening: Event,
        beginning: State,
        repeat_last_batch: bool = False,
        listener: Listener | None = None,
    ) -> None:
        """Run, unless this runner is running, outside of every ReactiveX subscription."""
        slot, token, state = self._slot, object(), self.state
        is_inside = is_inside_subscription()
        if is_inside and listener is None:
            _warn_inside(stacklevel=4)
        runs = runs_on_this_thread()
        n_around = len(runs)
        try:
            if slot.token.setdefault("running", token) is not token:
                raise RuntimeError(
                    "a runner runs once at a time: expected run or resume after its end, got it "
                    "from one of its own callbacks or from another thread; use another Runner() "
                    "there, as for an evaluation"
                )
            self._latest, slot.has_run = token, True
            runs.append((slot, token, state))
            with (
                self._streams.unsubscribed,
                idle_trampoline() if is_inside else _NOTHING,
                listener() if listener else _NOTHING,
                self._restart(opening, beginning) if self._restart else _NOTHING as restarted,
            ):
                first, keys = restarted or (opening, beginning)
                if first is not None:
                    loop(state, self._streams, self._batches, first, keys, repeat_last_batch)
        finally:
            # No call in here: an interrupt comes after calls, and would leave the token. No branch
            # for coverage, because the other one is left by the error above.
            del runs[n_around:]
            if "running" in slot.token and slot.token["running"] is token:  # pragma: no branch
                del slot.token["running"]


def _new_beginning(batches: Source, max_epoch: int) -> Callable[[], State]:
    """Check the arguments of a run; return a function that makes the keys it begins with."""
    check_batches(batches)
    n_epochs = as_integer("max_epoch", max_epoch, 0, _MAX_EPOCH_CURE)

    def beginning() -> State:
        return {
            "max_epoch": n_epochs,
            "batches": batches,
            "n_iters": 0,
            "running": True,
            "epoch": 0,
            EPOCH: {},
            RUN: new_run_memory(),
        }

    return beginning


def _warn_inside(stacklevel: int) -> None:
    warnings.warn(
        "a run inside a ReactiveX subscription keeps others waiting: expected run outside of "
        "subscribe(), got it in there, where what was subscribed without a scheduler may begin "
        "after the run; use runner.observe(batches), or pass scheduler=InPlaceScheduler() "
        "of rnnr.scheduling to those",
        RnnrWarning,
        stacklevel=stacklevel,
    )


def _callables(callbacks: Any) -> list[Callback]:
    if callable(callbacks):
        check_handler("callbacks", callbacks)
        return [callbacks]
    if not can_be_iterated(callbacks):
        cure = cure_for(callbacks)
        raise wrong_type("callbacks", "callable or an iterable of callables", callbacks, cure)
    several = list(callbacks)
    for i, callback in enumerate(several):
        check_handler(f"callbacks[{i}]", callback)
    return several


def check_runner(runner: object) -> None:
    """Raise unless it is a runner."""
    if not isinstance(runner, Runner):
        raise wrong_type("runner", "a Runner", runner, "write attach_on(Runner())")
