"""When a run is saved, what is in a snapshot, and how the run goes on from one."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from rnnr._errors import note_failure, warn_user
from rnnr._logs._log import KeepsRows
from rnnr._restored import is_loadable, warn_of_unsaved
from rnnr._runs import Slot
from rnnr._values._pack import Keys, Packer, Template
from rnnr._values._templates import find_templates
from rnnr.durable._contents import Given, Values, pack_values
from rnnr.durable._folder import Name, Snapshot
from rnnr.durable._loaders import (
    generators_in,
    generators_of,
    has_workers,
    n_batches_of,
    set_has_workers,
)
from rnnr.durable._random_states import States
from rnnr.durable._saver import Saver, Settings
from rnnr.event import Event
from rnnr.runner import Runner
from rnnr.sources._buffered import Buffered
from rnnr.sources._epoch_batches import Opening, is_one_shot
from rnnr.sources._epochs import loader_of
from rnnr.state import (
    EPOCH,
    HAD_WORKERS,
    RANDOM_STATES,
    RUN,
    STOPPED_BY,
    State,
    is_open,
    is_pass_open,
    n_drawn_in_pass,
    pass_memory,
    was_stopped_whole,
)

__all__ = ["NEEDED", "DurableRun", "format_age"]

logger = logging.getLogger("rnnr.durable")

_OF_THE_PROCESS: Final = frozenset({"batches", "max_epoch", "running", "batch", STOPPED_BY})
"""Keys of the state that each process sets by itself."""

NEEDED: Final = frozenset({"n_iters", "epoch", EPOCH, RUN})
"""Keys that a new run sets before it begins, and one that goes on needs."""


class _Restored(NamedTuple):
    """What is left of a snapshot until the batches are where they were.

    Attributes:
        random_states: States of the random generators, to set before the next draw.
        given: What `run` was given then.
    """

    random_states: States
    given: Given


class DurableRun(Opening):
    """The snapshots of one runner, which it does not hold.

    Args:
        settings: What the user has set.
        slot: Of the runner.
    """

    attached_as: Final = "Snapshots"

    def __init__(self, settings: Settings, slot: Slot) -> None:
        self._settings = settings
        self._slot = slot
        self._saver = Saver(settings, slot)
        self._batches: Any = None
        self._max_epoch: Any = None
        self._n_batches: int | None = None  # of the epoch
        self._keys: list[Any] = []  # of the state, as each process begins
        self._added: frozenset[Any] = frozenset()  # keys that a run of this process has added
        self._templates: dict[Keys, Template] = {}  # objects that each process has, as it begins
        self._shared: set[str] | None = None  # arrays that share memory, and are known to do so
        self._restored: _Restored | None = None
        self._has_position = False  # a loader that is named, until it is iterated
        self._drawn_ahead: list[Any] = []  # generators that another thread draws from
        self._replayed: States | None = None  # random states to set after batches were skipped

    # A run begins and ends.

    @contextmanager
    def restart(self, opening: Event, beginning: State) -> Iterator[tuple[Event | None, State]]:
        """Make the context of a run: the folder is locked, and the newest snapshot restored."""
        runner = self._slot.runner()
        with self._settings.folder.locked():
            try:
                yield self._begin(runner, opening, beginning)
            except BaseException as error:
                try:
                    self._saver.wait()
                except BaseException as other:  # noqa: BLE001  (the first one is raised)
                    note_failure(error, other, "a snapshot")
                raise
            else:
                self._saver.wait()
            finally:
                self._batches = None
                self._added = frozenset(runner.state).difference(self._keys)

    def _begin(
        self, runner: Runner, opening: Event, beginning: State
    ) -> tuple[Event | None, State]:
        state = runner.state
        if opening is not Event.STARTED:  # resumed in the process that has made the state
            self._resume(state)
            return opening, beginning
        self._batches, self._max_epoch = beginning["batches"], beginning["max_epoch"]
        self._restored = self._replayed = self._saver.latest = None
        self._keys = [key for key in state if key not in self._added]
        self._find_templates(state)
        self._shared = None
        new = {key: state[key] for key in self._keys if key not in NEEDED}
        found = self._saver.kept.newest()
        if found is None:
            self._write(Name(0, 0, "S"), new)
            self._saver.wait()  # before any event, so that none happens twice
            return opening, beginning
        self._pack(new, opens_logs=False)  # to know what shares memory in each process
        return self._go_on(runner, *found, beginning)

    def _resume(self, state: State) -> None:
        self._saver.kept.check_latest()
        self._batches, self._max_epoch = state["batches"], state["max_epoch"]
        if not self._templates:  # restored by hand
            self._keys, self._shared = [*state], set()
            self._find_templates(state)

    def _find_templates(self, state: State) -> None:
        own = {key: state[key] for key in self._keys if key not in _OF_THE_PROCESS}
        places: list[tuple[Any, Keys]] = [(self._settings.objects, ()), (own, ("state",))]
        self._templates = dict(one for place in places for one in find_templates(*place))

    def _go_on(
        self, runner: Runner, snapshot: Snapshot, values: Values, beginning: State
    ) -> tuple[Event | None, State]:
        state, kind = runner.state, snapshot.name.kind
        max_epoch = values.given.max_epoch_now(beginning["max_epoch"])
        is_over = kind == "F" and snapshot.name.epoch >= max_epoch
        self._settings.random.check(values.random_states)
        for key in self._added | NEEDED:  # of a later moment than the snapshot
            state.pop(key, None)
        values.restore(state, self._settings.objects)
        if not is_over:
            values.cut_logs(self._settings.objects, self._settings.folder)
        self._saver.latest = snapshot.name
        self._saver.kept.remove_old()  # a kill may have come before that
        _log(snapshot, values.saved_at, is_over=is_over)
        if kind == "S":
            set_has_workers(
                loader_of(self._batches), values.given.had_workers, self._settings.random
            )
            self._settings.random.restore(values.random_states)
            return Event.STARTED, beginning
        state.update(batches=self._batches, max_epoch=max_epoch)
        if is_over:
            state["running"] = False
            self._settings.random.restore(values.random_states)
            return None, {}
        runner._check_resumable()
        self._has_position = True
        self._restored = _Restored(values.random_states, values.given)
        return Event.RESUMED, {"running": True}

    # Events of a run.

    def check(self, state: State) -> None:
        """Raise if the state holds what cannot be saved, and warn of what is not saved."""
        self._pack(state)
        if is_one_shot(state["batches"]):
            warn_user(
                "batches must be iterable again for a run to be restarted in the middle of an "
                f"epoch, got the iterator {state['batches']!r}; pass a list, or an object whose "
                "__iter__ is a generator function, to run"
            )
        self._warn(state)

    def settle(self, state: State) -> None:
        """After RESUMED, continue with the random numbers of the run that was saved.

        In an open epoch this happens when the batches are where they were.
        """
        if not is_open(state):
            self._set_random_states()
        self._warn(state)

    def save(self, state: State, kind: str | None = None, *, wait: bool = False) -> None:
        """Save the run, unless this very moment is saved."""
        if wait:
            self._saver.wait()  # for the one in flight, which may fail
        self._saver.raise_failure()
        kind = kind or ("B" if is_open(state) else "E")
        name = Name(int(state["n_iters"]), int(state["epoch"]), kind)
        if name != self._saver.latest:
            self._write(name, state)
        if wait:
            self._saver.wait()

    def save_stop(self, state: State) -> None:
        """Save the run if it was stopped at a whole moment; the next process goes on from there."""
        if was_stopped_whole(state):
            self.save(state, wait=True)

    def wait(self, _: State) -> None:
        """Wait until the latest snapshot is on disk."""
        self._saver.wait()

    def _warn(self, state: State) -> None:
        runner: Runner = self._slot.runner()  # it runs, so it is there
        batches = state["batches"]  # which nobody but the loop asks for anything
        values = [*self._settings.objects.values(), *state.values()]
        saved = [value for value in values if value is not batches]
        random = self._settings.random
        saved += random.generators
        warn_of_unsaved(saved, runner._callbacks(), batches, generators_in)
        if not {*map(id, generators_of(batches))} <= {*map(id, random.generators)}:
            warn_user(
                "the generator of a loader must be saved, or a restarted epoch has another order, "
                "got a DataLoader with a generator that is not named; name it in "
                "Snapshots(generators=[...])"
            )

    # The iterator of an epoch.

    def before(self, state: State) -> bool:
        """Set the random states that the iterator of the epoch was made with, or keep them."""
        memory, random = pass_memory(state), self._settings.random
        batches, restored = loader_of(state["batches"]), self._restored
        self._n_batches = n_batches_of(batches)
        has_position, self._has_position = self._has_position, False
        if not n_drawn_in_pass(state):
            if restored:
                set_has_workers(batches, restored.given.had_workers, random)
            self._set_random_states()
            memory[RANDOM_STATES], memory[HAD_WORKERS] = random.capture(), has_workers(batches)
            return False
        if restored:
            self._check_batches(state, restored)
        if has_position and self._seeks(batches):
            return True
        if not restored:
            self._replayed = self._replayed or random.capture()
        if RANDOM_STATES in memory:
            set_has_workers(batches, memory.get(HAD_WORKERS, False), random)
            random.restore(memory[RANDOM_STATES])
        else:
            message = "Epoch %d began without Snapshots: its batches may not be repeated exactly"
            logger.warning(message, state["epoch"])
        self._drawn_ahead = generators_of(batches) if isinstance(batches, Buffered) else []
        return False

    def after(self) -> None:
        """Set the random states that follow the last batch.

        A loader behind a buffer draws ahead on another thread, also after this. Its generators
        follow from the states with which it was made.
        """
        self._set_random_states(self._drawn_ahead)

    def _seeks(self, batches: object) -> bool:
        """Return whether the batches are a loader that goes to its position by itself."""
        named = any(thing is batches for thing in self._settings.objects.values())
        return named and is_loadable(batches)

    def _set_random_states(self, but: Sequence[Any] = ()) -> None:
        states = self._restored.random_states if self._restored else self._replayed
        if states is not None:
            self._settings.random.restore(states, but)
            self._restored = self._replayed = None

    def _check_batches(self, state: State, restored: _Restored) -> None:
        if restored.given.had_other_batches and state["batches"] is self._batches:
            raise RuntimeError(
                f"the batches of epoch {state['epoch']} must be those that a callback had put into "
                "state['batches'], got those that run was given; set them on "
                "Event.EPOCH_STARTED | Event.RESUMED"
            )
        n_then, n_now = restored.given.n_batches, self._n_batches
        if None not in (n_then, n_now) and n_then != n_now:
            warn_user(
                f"the batches of epoch {state['epoch']} must be those that were saved, {n_then} of "
                f"them, got {n_now}: the first {n_drawn_in_pass(state)} are skipped, and may be "
                "others; pass batches of the same size to run, or begin again in another folder"
            )

    # Writing.

    def _write(self, name: Name, state: State) -> None:
        self._saver.wait()
        self._saver.write(name, *self._pack(state))

    def _pack(self, state: State, *, opens_logs: bool = True) -> tuple[Packer, Mapping[str, Any]]:
        skipped = self._settings.leave_out | _OF_THE_PROCESS
        kept = {
            key: value
            for key, value in state.items()
            if key not in skipped and not (key == "error" and isinstance(value, BaseException))
        }
        given = Given(
            self._max_epoch,
            state.get("max_epoch", self._max_epoch) if self._is_running(state) else self._max_epoch,
            self._is_running(state) and state["batches"] is not self._batches,
            has_workers(loader_of(state.get("batches", self._batches))),
            self._n_batches,
        )
        packer, trees, shared = pack_values(
            kept,
            self._removed(state),
            self._objects(state, opens_logs=opens_logs),
            self._settings.random.capture(),
            self._templates,
            given,
        )
        self._warn_of_shared(shared)
        return packer, trees

    def _warn_of_shared(self, names: list[str]) -> None:
        """Warn once of each array that will be a copy; not of those that each process has."""
        if self._shared is not None and not self._shared.issuperset(names):
            first = next(name for name in names if name not in self._shared)
            warn_user(
                f"{first} must not share its memory with an object that is saved, got an array "
                "that does: after a restart it is a copy; put a copy there, or set it before run"
            )
        self._shared = (self._shared or set()).union(names)

    def _is_running(self, state: State) -> bool:
        return "n_iters" in state  # else it is the state before the beginning

    def _objects(self, state: State, *, opens_logs: bool) -> dict[str, Any]:
        """Return the objects; a loader has a place of its own only in the middle of an epoch."""
        is_drawn = is_pass_open(state) and n_drawn_in_pass(state) > 0
        loader = loader_of(self._batches)

        def is_asked(thing: Any) -> bool:
            if isinstance(thing, KeepsRows):
                return opens_logs
            return is_drawn or thing is not loader or not is_loadable(thing)

        return {
            name: thing if is_asked(thing) else None
            for name, thing in self._settings.objects.items()
        }

    def _removed(self, state: State) -> Iterable[Any]:
        return [key for key in self._keys if key not in state]


def _log(snapshot: Snapshot, saved_at: float, *, is_over: bool) -> None:
    n_iters, epoch, _ = snapshot.name
    age = format_age(time.time() - saved_at)
    message = "Going on from %s, saved %s ago: epoch %d, batch %d"
    if is_over:
        message = "Nothing to run: %s, saved %s ago, is of a run that finished epoch %d, batch %d"
    logger.warning(message, snapshot.path, age, epoch, n_iters)


def format_age(seconds: float) -> str:
    """Return an age in the largest unit that it has at least one of."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
