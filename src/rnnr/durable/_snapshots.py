"""Snapshots of a run: after a kill, it goes on from the last one as if nothing had happened."""

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from reactivex import Observable, abc
from reactivex import operators as ops
from reactivex.disposable import CompositeDisposable, Disposable
from reactivex.subject import Subject

from rnnr._errors import as_integer, check_string, wrong_type, wrong_value
from rnnr._restored import is_loadable
from rnnr._values._arrays import kind_of
from rnnr.attachments._attachment import Attachment
from rnnr.durable._durable_run import NEEDED, DurableRun
from rnnr.durable._folder import Folder
from rnnr.durable._random_states import RandomStates
from rnnr.durable._saver import SavedSnapshot, Settings
from rnnr.event import Event
from rnnr.runner import Runner, check_runner
from rnnr.selection import Selection
from rnnr.sources._epoch_batches import Opening
from rnnr.state import State
from rnnr.streams._layer import Layer

__all__ = ["Snapshots"]

_MOMENTS: Final = (Event.BATCH, Event.EPOCH_FINISHED)


class Snapshots(Attachment):
    """Saves a run again and again, so that the same command goes on after a kill.

    Attached to a runner, it gives `rnnr.Runner.run` another meaning: bring the run in this folder
    to ``max_epoch``. Where there is a snapshot, the state, the objects and the random states are
    put back, RESUMED is published instead of STARTED, and the same batches, losses and weights
    follow as in a run that was never killed, to the last bit. A run that had finished does nothing,
    and so does a second ``run`` in the same process. One line is logged about it.

    A snapshot holds every plain value of the state, the objects that are named here, and the
    states of the random generators of Python, NumPy and PyTorch. It is taken when every callback of
    an event has run. Values are restored in place: into the same arrays, dicts and objects that
    the callbacks hold. What is on disk is sealed by a checksum and needs no pickle; a snapshot that
    is damaged is not used.

    The batches of an epoch are iterated again from the beginning, with the random states from then,
    and those that the run has had are skipped. A loader that can go to its position by its own
    ``state_dict()`` does so if it is named as an object.

    Args:
        folder: Folder of this run alone; it is made if it is not there, and locked during the run.
        every: When to save: ``Event.BATCH``, ``Event.EPOCH_FINISHED``, or a selection of these.
            The beginning and the end of a run, and a stop by a signal, are saved in any case.
        at_most: Number of snapshots to keep, the newest. Two survive that the newest is damaged.
        generators: Random generators of your own that the training or the batches draw from, of
            Python, NumPy or PyTorch.
        leave_out: Keys of the state that are not saved, since each batch sets them again.
        background: Whether to write on another thread. The training waits for the copy alone.
        on_error: What to do when a snapshot cannot be written: ``"raise"`` the error in the run, or
            ``"log"`` it and go on.
        objects: What else is saved and restored, by its name: objects with ``state_dict()`` and
            ``load_state_dict()`` (models, optimizers, logs), arrays, and lists and dicts of these.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument has a value that makes no sense.

    Example:
        >>> import numpy as np
        >>> from tempfile import TemporaryDirectory
        >>> from rnnr import Event, Runner
        >>> from rnnr.durable import Snapshots
        >>> def train(folder, kill_at=None):  # what a script does
        ...     weights = np.zeros(2)
        ...     runner = Runner()
        ...     @runner.on(Event.BATCH)
        ...     def step(state):
        ...         if state["n_iters"] == kill_at:
        ...             raise KeyboardInterrupt
        ...         weights[:] += np.random.normal(size=2) * state["batch"]
        ...     snapshots = Snapshots(folder, weights=weights, every=Event.BATCH)
        ...     subscription = snapshots.attach_on(runner)
        ...     runner.run([1, 2, 3], max_epoch=2)
        ...     return weights
        >>> with TemporaryDirectory() as one, TemporaryDirectory() as other:
        ...     np.random.seed(0)
        ...     undisturbed = train(one)
        ...     np.random.seed(0)
        ...     try:
        ...         train(other, kill_at=5)
        ...     except KeyboardInterrupt:
        ...         pass
        ...     bool((train(other) == undisturbed).all())
        True
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        every: Event | Selection = Event.EPOCH_FINISHED,
        at_most: int = 2,
        generators: Iterable[Any] = (),
        leave_out: Iterable[str] = (),
        background: bool = True,
        on_error: str = "raise",
        **objects: Any,
    ) -> None:
        self._every = _checked_selection(every)
        if on_error not in ("raise", "log"):
            raise wrong_value("on_error", "'raise' or 'log'", on_error, "write one of the two")
        if not isinstance(background, bool):
            cure = "it is a setting; save an object of that name under another one"
            raise wrong_type("background", "True or False", background, cure)
        for name, thing in objects.items():
            _check_object(name, thing)
        self._settings = Settings(
            folder=Folder(_as_path(folder)),
            at_most=as_integer("at_most", at_most, 1, "the newest snapshot is always kept"),
            random=RandomStates(generators),
            leave_out=_as_keys(leave_out),
            background=background,
            raises=on_error == "raise",
            objects=objects,
            saved=Subject(),
        )

    @property
    def saved(self) -> Observable[SavedSnapshot]:
        """A hot Observable of what is on disk, when it is.

        With ``background=True`` it emits on the thread that writes, so a subscriber does not keep
        the training waiting; a snapshot stays until all of them are through. What one raises counts
        as an error of the snapshot.

        Example:
            >>> from tempfile import TemporaryDirectory
            >>> from rnnr import Runner
            >>> from rnnr.durable import Snapshots
            >>> with TemporaryDirectory() as folder:
            ...     runner, snapshots = Runner(), Snapshots(folder)
            ...     subscription = snapshots.saved.subscribe(lambda one: print(one.path.name))
            ...     attached = snapshots.attach_on(runner)
            ...     runner.run("abc")
            000000000-0000-S
            000000003-0001-E
            000000003-0001-F
        """
        return self._settings.saved.pipe(ops.as_observable())

    def attach_on(self, runner: Runner) -> abc.DisposableBase:
        """Attach to a runner, before or after its callbacks.

        Returns:
            A Disposable that detaches again.

        Raises:
            TypeError: If ``runner`` is not a runner.
            RuntimeError: If other snapshots are attached to it, or it is running.
        """
        check_runner(runner)
        if runner._slot.is_running:
            raise RuntimeError(
                "Snapshots must be attached before a run, since they decide where it begins, got a "
                "runner that is running; attach them before run or resume"
            )
        if runner._restart is not None:
            raise RuntimeError(
                "a runner must have one Snapshots, got a second one; name all objects in one "
                "Snapshots(folder, model=model, ...), or dispose of the other"
            )
        run = DurableRun(self._settings, runner._slot)
        runner._restart, runner._batches.opening = run.restart, run
        handlers: list[tuple[Event, Callable[[State], object], Layer]] = [
            (Event.STARTED, run.check, Layer.SAVE),
            (Event.RESUMED, run.settle, Layer.SAVE),
            (Event.STOPPED, run.save_stop, Layer.DISPLAY),  # before anything that STOPPED changes
            (Event.FINISHED, partial(run.save, kind="F", wait=True), Layer.SAVE),
            (Event.STOPPED, run.wait, Layer.SAVE),  # a signal may end the process after it
            (Event.FAILED, run.wait, Layer.SAVE),
        ]
        slot = runner._slot

        def detach() -> None:
            runner: Runner | None = slot.runner()
            if runner is not None and runner._restart == run.restart:
                runner._restart, runner._batches.opening = None, Opening()

        return CompositeDisposable(
            runner.stream(self._every).add(run.save, layer=Layer.SAVE),
            *(runner.stream(event).add(each, layer=layer) for event, each, layer in handlers),
            Disposable(detach),
        )


def _as_path(folder: Any) -> Path:
    if not isinstance(folder, str | os.PathLike) or not isinstance(os.fspath(folder), str):
        raise wrong_type("folder", "a path", folder, "pass for example 'runs/digits'")
    return Path(folder).absolute()


def _checked_selection(every: Any) -> Event | Selection:
    expected = "Event.BATCH, Event.EPOCH_FINISHED, or a selection of these"
    cure = "write for example Event.BATCH.every(100) | Event.EPOCH_FINISHED"
    if not isinstance(every, Event | Selection):
        raise wrong_type("every", expected, every, cure)
    if not {*every.predicates()} <= {*_MOMENTS}:
        cure += "; the state is not whole in other events, and the end of a run is saved anyway"
        raise wrong_value("every", expected, every, cure)
    return every


def _as_keys(leave_out: Any) -> frozenset[str]:
    cure = "write for example leave_out=('output',)"
    if isinstance(leave_out, str | Mapping):
        raise wrong_type("leave_out", "several keys of the state", leave_out, cure)
    try:
        keys = [*leave_out]
    except TypeError:
        raise wrong_type("leave_out", "several keys of the state", leave_out, cure) from None
    for key in keys:
        check_string("a key in leave_out", key, cure)
        if key in NEEDED:
            cure = "the run needs it to go on; leave out only what callbacks set"
            raise wrong_value("leave_out", "keys that callbacks set", key, cure)
    return frozenset(keys)


def _check_object(name: str, thing: object) -> None:
    if name == "state":
        cure = "the state itself is saved anyway; choose another name"
        raise wrong_value("an object", "one with a name of its own", name, cure)
    if is_loadable(thing) or isinstance(thing, dict | list):
        return
    kind = kind_of(thing)
    description = kind.describe(thing) if kind else None
    if kind is None or description is None or not kind.fits(thing, description):
        cure = "give its class the two methods, or put the value into the state"
        if isinstance(thing, abc.DisposableBase):
            cure = "name what you have attached, and not what attach_on has returned"
        raise wrong_type(
            name,
            "an object with state_dict() and load_state_dict(), an array that can be changed in "
            "place, or a list or dict of arrays",
            thing,
            cure,
        )
