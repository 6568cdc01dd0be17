"""A test for your own jobs: crash them at pairs of moments, compare with an undisturbed run."""

import gc
import hashlib
import json
import os
import random
import shutil
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from itertools import combinations_with_replacement
from operator import attrgetter
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final, NamedTuple, TypeAlias
from weakref import ref

from rnnr._errors import as_integer, wrong_type
from rnnr._values._arena import Arena
from rnnr._values._pack import Packer
from rnnr.durable._random_states import RandomStates
from rnnr.event import RULES, Event
from rnnr.files import SavedFiles
from rnnr.runner import Runner
from rnnr.state import EPOCH, INFO, RUN, STARTED_AT, State
from rnnr.streams._layer import Layer

__all__ = ["Exactness", "Job", "Moment", "resumes_exactly"]

_WATCHED: Final = [event for event in Event if event not in (Event.RESUMED, Event.FAILED)]

_SEEDS: Final = {"numpy": "random.seed", "torch": "manual_seed"}

_OF_THE_TIME: Final = frozenset({STARTED_AT, INFO})
"""Keys of the memories of an epoch and of a run that are others in each process."""

_MOST_SHOWN: Final = 20  # lines of a text

_DEPTH: Final = 8  # dicts in dicts with something that is not plain
_SHORT: Final = 60  # characters of a value that is shown as it is

Digests: TypeAlias = dict[str, str]


class Job(NamedTuple):
    """What a script makes: a runner, and how it runs.

    Attributes:
        runner (Runner): The runner, to which `Snapshots` are attached.
        run (Callable[[], object]): Runs it, as ``lambda: runner.run(batches, max_epoch=2)``.
        result (Callable[[], Mapping]): Returns, after the end, what has to be equal: weights, the
            bytes of a log, by their names.
    """

    runner: Runner
    run: Callable[[], object]
    result: Callable[[], Mapping[str, Any]]


class Moment(NamedTuple):
    """A moment of a run at which it can be crashed.

    Attributes:
        event (Event): The event that is delivered.
        epoch (int): Number of the epoch.
        n_iters (int): Number of batches drawn.
        where (str): ``"before"`` its callbacks, ``"between"`` them and the reducers, or ``"after"``
            all handlers.
    """

    event: Event
    epoch: int
    n_iters: int
    where: str

    def __str__(self) -> str:
        return f"{self.where} {self.event.name}, epoch {self.epoch}, batch {self.n_iters}"


class Exactness(NamedTuple):
    """What `resumes_exactly` has found; it is true if every crash was resumed exactly.

    Attributes:
        differences (dict): For each pair of moments the first difference in words, or ``None``.
    """

    differences: dict[tuple[Moment, Moment], str | None]

    @property
    def n_exact(self) -> int:
        """How many pairs were resumed exactly."""
        return sum(difference is None for difference in self.differences.values())

    def __bool__(self) -> bool:
        return self.n_exact == len(self.differences)

    def __str__(self) -> str:
        lines = [f"{self.n_exact} of {len(self.differences)} pairs of crashes resumed exactly"]
        lines += [
            f"crashes {first}, and {second}: {difference}"
            for (first, second), difference in self.differences.items()
            if difference is not None
        ]
        more = [f"and {len(lines) - _MOST_SHOWN} more"] if len(lines) > _MOST_SHOWN else []
        return "\n".join([*lines[:_MOST_SHOWN], *more])


def resumes_exactly(
    job: Callable[[Path], Job],
    folder: str | Path,
    *,
    at_most: int | None = None,
    ignore: Collection[str] = (),
    seed: int = 0,
) -> Exactness:
    """Crash a job at pairs of moments, and compare each restarted run with an undisturbed one.

    The job is made and run once undisturbed. Then for each pair of moments it is run, crashed at
    the first, made again as a new process would, crashed at the second, made again, and run to its
    end. What is in the folder at the moment of a crash is what the next one finds; the global
    random generators have other states in each. Compared are the events, the plain values of the
    state at each event, and the results; arrays to the last bit.

    Args:
        job: Makes a job that writes its snapshots, logs and other files under the folder it gets.
        folder: An empty folder, or the name of one to be made. It is emptied again and again.
        at_most: How many pairs to try, chosen at random; all of them, if not given.
        ignore: Keys of the state that need not be equal, such as times.
        seed: Seed of that choice.

    Returns:
        Which pairs are exact, and the first difference of the others.

    Raises:
        TypeError: If the job does not return a `Job`, or ``at_most`` is not an integer.
        ValueError: If the folder is not empty, or ``at_most`` is below 1.
        RuntimeError: If the job is the first to import NumPy or PyTorch, which must be seeded
            before it.

    Example:
        >>> import random
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from rnnr import Event, Runner
        >>> from rnnr.durable import Job, Snapshots, resumes_exactly
        >>> def job(folder):
        ...     runner = Runner()
        ...     runner.on(Event.BATCH, lambda state: state.update(noise=random.random()))
        ...     Snapshots(folder / "snapshots", every=Event.BATCH).attach_on(runner)
        ...     return Job(runner, lambda: runner.run("ab"), lambda: runner.state)
        >>> with TemporaryDirectory() as folder:
        ...     print(resumes_exactly(job, Path(folder), at_most=5))
        5 of 5 pairs of crashes resumed exactly
    """
    if at_most is not None:
        at_most = as_integer("at_most", at_most, 1, "leave it out to try all of them")
    path = Path(folder).resolve()  # a job may change the working directory
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
        raise ValueError(
            f"folder must be empty, since it is emptied again and again, got {str(path)!r}; pass "
            "a temporary one"
        )
    states = _GLOBAL.capture()
    trial = _Trial(job, path, {"batches", "running", STARTED_AT, *ignore})
    try:
        pairs = [*combinations_with_replacement(trial.undisturbed(), 2)]
        if at_most is not None:
            pairs = random.Random(seed).sample(pairs, min(at_most, len(pairs)))  # noqa: S311
        return Exactness({pair: trial.difference(*pair) for pair in pairs})
    finally:
        trial.end()
        _GLOBAL.restore(states)


class _Crash(BaseException):
    """A crash on purpose."""


class _Trial:
    """Runs a job undisturbed, and then again and again with crashes.

    Args:
        job: Makes the job.
        folder: Its folder.
        ignored: Keys of the state that are not compared.
    """

    def __init__(self, job: Callable[[Path], Job], folder: Path, ignored: Collection[str]) -> None:
        self._job = job
        self._folder = folder
        self._aside = Path(mkdtemp(dir=folder.parent, prefix=f"{folder.name}.")) / "crashed"
        self._ignored = ignored
        self._expected: dict[Moment, Digests] = {}
        self._result: Digests = {}
        self._runner: Callable[[], Runner | None] = lambda: None  # of the life before

    def end(self) -> None:
        """Remove what was put aside."""
        shutil.rmtree(self._aside.parent)

    def undisturbed(self) -> list[Moment]:
        """Run without a crash; return its moments."""
        missing = _SEEDS.keys() - sys.modules.keys()
        try:
            self._result = self._live(0, self._expected.__setitem__)
        finally:
            _empty(self._folder)
        for library in missing & sys.modules.keys():
            raise RuntimeError(
                f"libraries with random numbers must be imported before resumes_exactly, which "
                f"seeds them, got a job that imports {library}; write import {library} at the top"
            )
        return [*self._expected]

    def difference(self, *crashes: Moment) -> str | None:
        """Run with crashes; return the first difference, or ``None``."""
        life = _Life(self._expected)
        try:
            for number, crash in enumerate(crashes):
                life.begin()
                try:
                    self._live(number, life.see, crash)
                except _Crash:
                    shutil.rmtree(self._folder)
                    self._aside.rename(self._folder)
            life.begin()
            result = self._live(len(crashes), life.see)
        except Exception as error:  # noqa: BLE001  (it is the difference)
            return f"{type(error).__name__}: {error}"
        finally:
            _empty(self._folder)
        return life.difference or life.end() or _difference(self._result, result, "at the end")

    def _live(
        self, seed: int, see: Callable[[Moment, Digests], object], crash: Moment | None = None
    ) -> Digests:
        """Make the job and run it, as a process would; return the digests of its results."""
        if self._runner() is not None:
            gc.collect()  # the one before is dead, and its files are to be written by another one
        _seed(seed)
        job = self._job(self._folder)
        if not isinstance(job, Job):
            cure = "return Job(runner, lambda: runner.run(batches, 2), lambda: {...})"
            raise wrong_type("what job returns", "a Job", job, cure)
        self._runner = ref(job.runner)

        def watch(event: Event, where: str, state: State) -> None:
            moment = Moment(event, state["epoch"], state["n_iters"], where)
            see(moment, self._digests(state, event))
            if moment == crash:
                _copy(self._folder, self._aside)
                raise _Crash

        for event in _WATCHED:
            for where, layer in _places(event):
                job.runner.stream(event).add(partial(watch, event, where), layer=layer)
        job.run()
        return _digests(job.result())

    def _digests(self, state: State, event: Event) -> Digests:
        skipped = self._ignored if event is Event.BATCH else {*self._ignored, "batch"}
        kept = {key: value for key, value in state.items() if key not in skipped}
        memories = {
            whole: {key: one for key, one in kept.get(whole, {}).items() if key not in _OF_THE_TIME}
            for whole in (EPOCH, RUN)
        }
        return _digests({**kept, **memories, "random numbers": _GLOBAL.capture()})


class _Life:
    """Compares what happens in several processes with one undisturbed run.

    Args:
        expected: The digests at each moment of the undisturbed run.

    Attributes:
        difference: The first difference, or ``None``.
    """

    def __init__(self, expected: Mapping[Moment, Digests]) -> None:
        self._expected = expected
        self._moments = [*expected]
        self._order = {moment: i for i, moment in enumerate(expected)}
        self._furthest = -1
        self._previous: int | None = None
        self.difference: str | None = None

    def begin(self) -> None:
        """Begin another process, which may go back to an earlier moment."""
        self._previous = None

    def see(self, moment: Moment, digests: Digests) -> None:
        """Compare a moment with the same one of the undisturbed run."""
        self.difference = self.difference or self._difference(moment, digests)
        self._previous = self._order.get(moment)
        self._furthest = max(self._furthest, self._order.get(moment, -1))

    def end(self) -> str | None:
        """Return what is missing at the end."""
        n_seen = self._furthest + 1
        return None if n_seen == len(self._moments) else f"it ends before {self._moments[n_seen]}"

    def _difference(self, moment: Moment, digests: Digests) -> str | None:
        place = self._order.get(moment)
        if place is None:
            return f"the undisturbed run does not come to {moment}"
        latest = self._furthest if self._previous is None else self._previous
        if place > latest + 1 or (self._previous is not None and place <= latest):
            return f"{moment} follows {self._moments[latest]}"
        return _difference(self._expected[moment], digests, str(moment))


_GLOBAL: Final = RandomStates(())


def _places(event: Event) -> list[tuple[str, Layer]]:
    first = Layer.DISPLAY if RULES[event].closes else Layer.CLOCK
    return [("before", first), ("between", Layer.USER), ("after", Layer.STOP)]


def _difference(expected: Digests, got: Digests, where: str) -> str | None:
    for key in {**expected, **got}:
        if expected.get(key) != got.get(key):
            return f"{where}: {key} is {got.get(key)}, and undisturbed {expected.get(key)}"
    return None


def _digests(values: Mapping[str, Any]) -> Digests:
    return {key: _digest(value) for key, value in values.items()}


def _digest(value: Any, depth: int = _DEPTH) -> str:
    """Return a text that is the same for the same value: short ones as they are.

    What is not plain counts by its class alone, also inside of dicts, lists and tuples.
    """
    if isinstance(value, SavedFiles):
        value = [str(path) for path in value]
    packer = Packer("")
    try:
        text = json.dumps(packer.pack(value, ("value",)))
    except TypeError:  # it is not a plain value, or something in it is not
        return _digest_of_parts(value, depth) if depth else type(value).__name__
    arrays = b"".join(Arena().copy(packer.arrays)) if packer.arrays else b""
    if len(text) + len(arrays) <= _SHORT:
        return text
    digest = hashlib.sha256(text.encode() + arrays).hexdigest()[:12]
    return f"{type(value).__name__} {digest}"


def _digest_of_parts(value: Any, depth: int) -> str:
    if isinstance(value, dict):
        value = {repr(key): _digest(one, depth - 1) for key, one in value.items()}
    elif isinstance(value, list | tuple):
        value = [_digest(one, depth - 1) for one in value]
    else:
        return type(value).__name__
    return _digest(value)


def _copy(folder: Path, target: Path) -> None:
    """Copy a folder as it is at one moment, while another thread may write to it."""
    before = None
    while before is None or before != _listing(folder):
        before = _listing(folder)
        shutil.rmtree(target, ignore_errors=True)
        with suppress(OSError):  # a file is gone: the listing is another one, too
            shutil.copytree(folder, target)


def _listing(folder: Path) -> list[tuple[str, int, int]]:
    found = []
    for root, _, names in os.walk(folder):  # which leaves out what is gone meanwhile
        for path in [root, *(os.path.join(root, name) for name in names)]:
            with suppress(OSError):
                status = os.lstat(path)
                found.append((path, status.st_size, status.st_mtime_ns))
    return sorted(found)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)


def _seed(seed: int) -> None:
    """Seed the global generators of each library that is there."""
    random.seed(seed)
    for library, function in [found for found in _SEEDS.items() if found[0] in sys.modules]:
        attrgetter(function)(sys.modules[library])(seed)
