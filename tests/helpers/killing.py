"""Kills processes that train, and looks at what they leave. It forks, so it is a script.

``python -c 'from helpers.killing import main; main()' NAME FOLDER SEED N AT_MOST BACKGROUND``
"""

import hashlib
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from helpers.faults import at_file_operation
from helpers.sources import Endless
from helpers.training import Log, Shuffled, Training, train
from rnnr import Event, State
from rnnr.durable._folder import Folder, Status

__all__ = ["main"]

_N_BEGUN = 12  # operations until the first snapshot is sealed, two of them of the folder


def main() -> None:
    """Do what the command line says; print how many kills there were."""
    name, folder, seed, n, at_most, background = sys.argv[1:]
    settings = {"at_most": int(at_most), "background": background == "True"}
    random.seed(int(seed))
    print(_SCENES[name](Path(folder), int(n), settings))


def _each_operation(folder: Path, stride: int, settings: dict[str, Any]) -> int:
    """Kill a run before each operation, and its restart before another one."""

    def run(path: Path, seed: int) -> Training:
        return train(path, seed=seed, batches=Shuffled(2), **settings).run(1)

    expected = run(folder / "undisturbed", 0).result

    def killed_at(n: int, path: Path, seed: int) -> None:
        with at_file_operation(n, lambda: os._exit(9)):
            run(path, seed)

    def compare(path: Path, seed: int) -> None:
        assert run(path, seed).result == expected

    for n in count(1, stride):
        path = folder / str(n)
        status = _ended(_fork(killed_at, n, path, 0))
        if status == 0:
            return n - stride
        assert status == 9
        is_begun = _has_whole_one(path)
        assert is_begun or n <= _N_BEGUN
        _ended(_fork(killed_at, n * 7 % 31 + 1, path, n if is_begun else 0))
        assert _has_whole_one(path) or not is_begun
        assert _ended(_fork(compare, path, -n if _has_whole_one(path) else 0)) == 0
        names = sorted(one.name for one in path.iterdir())
        assert names[-1] == "000000002-0001-F"
        assert len(names) <= 1 + settings["at_most"]
    raise AssertionError


def _has_whole_one(path: Path) -> bool:
    return any(one.verified().status == Status.WHOLE for one in Folder(path).snapshots())


def _back_to_back(folder: Path, n_kills: int, settings: dict[str, Any]) -> int:
    """Kill one run at random moments while it does nothing but save."""

    def run(write: int) -> None:
        training = train(folder, grow, batches=Endless(), **settings)
        training.runner.on(Event.RESUMED, check)
        training.snapshots.saved.subscribe(partial(_tell, write))
        training.run()

    def grow(state: State) -> None:
        state["story"] = []
        state["chain"] = hashlib.sha256(state.get("chain", b"")).digest()
        state["blob"] = bytes([state["n_iters"] % 251]) * 300_000

    def check(state: State) -> None:
        n_iters, chain = state["n_iters"], b""
        for _ in range(n_iters):
            chain = hashlib.sha256(chain).digest()
        assert state["chain"] == chain
        assert state["blob"] == bytes([n_iters % 251]) * 300_000
        names = {one.name for one in folder.iterdir()}
        assert names == {".lock", Folder(folder).snapshots()[0].path.name}

    for _ in range(n_kills):
        with _pipe() as (read, write):
            pid = _fork(run, write)
            os.close(write)  # so that the end of the process ends the reading
            assert os.read(read, 1) == b"."
            time.sleep(random.random() * 0.03)  # the moment is what is tested
            os.kill(pid, signal.SIGKILL)
            assert _ended(pid) == -signal.SIGKILL
        found = [one for one in Folder(folder).snapshots() if one.status == Status.WHOLE]
        assert found
        assert all(one.verified() is one for one in found)
    return n_kills


def _until_it_ends(folder: Path, n_runs: int, settings: dict[str, Any]) -> int:
    """Kill runs again and again until they end."""

    def run(path: Path, seed: int, write: int | None = None) -> None:
        path.mkdir(exist_ok=True)
        log = Log(path / "log.txt")
        training = train(
            path / "run",
            lambda state: log.add(f"{state['n_iters']} {state['batch']}"),
            seed=seed,
            batches=Shuffled(n_batches),
            log=log,
            **settings,
        )
        if write is not None:
            training.snapshots.saved.subscribe(partial(_tell, write))
        training.run()
        log.state_dict()
        (path / "result.txt").write_text(repr(training.result))

    n_batches, n_kills = 10, 0
    assert _ended(_fork(run, folder / "undisturbed", 0)) == 0
    for i in range(n_runs):
        path, status = folder / str(i), -signal.SIGKILL
        for seed in count():
            with _pipe() as (read, write):
                pid = _fork(run, path, seed, write)
                os.close(write)
                for _ in range(random.randint(1, 4)):
                    os.read(read, 1)  # until a snapshot, or the end
                time.sleep(random.random() * 0.005)  # the moment is what is tested
                os.kill(pid, signal.SIGKILL)
                status = _ended(pid)
            if status != -signal.SIGKILL:
                break
            n_kills += 1
        assert status == 0
        for name in ("log.txt", "result.txt"):
            assert (path / name).read_bytes() == (folder / "undisturbed" / name).read_bytes()
    return n_kills


def _tell(write: int, _: object) -> None:
    os.write(write, b".")


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    try:
        yield read, write
    finally:
        os.close(read)
        with suppress(OSError):
            os.close(write)


def _fork(work: Callable[..., object], *arguments: object) -> int:
    """Do something in a process of its own; return its number."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work(*arguments)
        os._exit(0)
    except BaseException:  # noqa: BLE001  (the process ends here)
        traceback.print_exc()
        os._exit(1)


def _ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


_SCENES = {
    "each operation": _each_operation,
    "back to back": _back_to_back,
    "until it ends": _until_it_ends,
}
