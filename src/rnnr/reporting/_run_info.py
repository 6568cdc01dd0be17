"""Which run this is: its name, id, configuration, versions, command line, commit and host."""

import platform
import shlex
import socket
import subprocess
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Final

from reactivex import abc

from rnnr._errors import check_string
from rnnr._frozen import Frozen
from rnnr.attachments._attachment import Attachment, attach
from rnnr.event import Event
from rnnr.reporting._config import Plain, flattened
from rnnr.runner import Runner
from rnnr.state import INFO, RUN, State, run_memory
from rnnr.streams._layer import Layer

__all__ = ["RunInfo", "info_of"]

_LIBRARIES: Final = ("numpy", "torch", "jax", "sklearn", "tensorflow", "lightgbm", "xgboost")
_PATIENCE: Final = 5.0  # seconds for git, which may be on a slow disk


class RunInfo(Attachment):
    """Says which run this is, once for everything that watches it.

    While it is attached, the first line of a recording, a page, the parameters of a tracker and a
    view of your own get the configuration that you name here, and beside it:

    * ``run.name`` and ``run.id``, eight hexadecimal digits, which are those of the run also after
      it goes on in another process;
    * ``run.started``, when it began, in local time;
    * ``run.command``, ``run.host``, ``run.python``, ``run.rnnr``, and the versions of libraries
      that are imported, such as ``run.numpy``: those of the process that runs it now;
    * ``run.commit`` and ``run.is_clean``: the commit of git in the folder of the script, and
      whether no file that git knows differs from it. They are left out where there is no git.

    Nothing is sent anywhere. The command may hold a password, if you pass one there: leave
    ``run.command`` out then.

    It is in the memory of the run, so snapshots have it, too.

    Args:
        name: Name of the run.
        config: Configuration of the run: a mapping, which may be nested, a dataclass, an
            ``argparse.Namespace``, a named tuple, or an object with attributes.
        leave_out: Names of what is left out, such as ``"run.command"``.

    Raises:
        TypeError: If an argument has the wrong type.

    Example:
        >>> from rnnr import Event, Runner
        >>> from rnnr.reporting import RunInfo, reports
        >>> runner = Runner()
        >>> info = RunInfo("first", {"lr": 0.1, "model": {"width": 64}}).attach_on(runner)
        >>> subscription = reports(runner, on=Event.STARTED).subscribe(
        ...     lambda report: print({**report.config, "run.id": "..."})
        ... )
        >>> runner.run([])  # doctest: +ELLIPSIS
        {'lr': 0.1, 'model.width': 64, 'run.name': 'first', 'run.id': '...', 'run.started': ...}
    """

    def __init__(
        self, name: str = "", config: object = None, *, leave_out: tuple[str, ...] = ()
    ) -> None:
        check_string("name", name, 'write for example RunInfo("first")')
        for each in leave_out:
            check_string("leave_out", each, 'write for example leave_out=("run.command",)')
        self._name = name
        self._config = flattened(config)
        self._leave_out = frozenset(leave_out)

    def attach_on(self, runner: Runner) -> abc.DisposableBase:
        """Attach to a runner, for the runs that begin or go on from now on.

        Args:
            runner: Runner to attach to.

        Returns:
            A Disposable that detaches again.

        Raises:
            TypeError: If ``runner`` is not a runner.
        """
        return attach(runner, Layer.CLOCK, {Event.STARTED: self._tell, Event.RESUMED: self._tell})

    def _tell(self, state: State) -> None:
        memory = run_memory(state)
        before = memory.get(INFO, {})
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        told: dict[str, Plain] = {
            **self._config,
            **({"run.name": self._name} if self._name else {}),
            "run.id": before.get("run.id") or token_hex(4),
            "run.started": before.get("run.started") or now,
            **{f"run.{name}": one for name, one in _process().items()},
        }
        memory[INFO] = {name: one for name, one in told.items() if name not in self._leave_out}


def info_of(state: State) -> Frozen:
    """Return what is told of a run, flat; empty if nothing is."""
    return Frozen(state.get(RUN, {}).get(INFO, {}))


def _process() -> dict[str, Plain]:
    """Return what is known of this process."""
    import rnnr

    libraries = {
        name: str(version)
        for name in _LIBRARIES
        if (version := getattr(sys.modules.get(name), "__version__", None)) is not None
    }
    return {
        "command": shlex.join(sys.argv),
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "rnnr": rnnr.__version__,
        **libraries,
        **_commit(),
    }


def _commit() -> dict[str, Plain]:
    with suppress(OSError, subprocess.SubprocessError):
        folder = Path(sys.argv[0]).absolute().parent  # the working directory may be gone
        commit = _git(folder, "rev-parse", "HEAD")
        return {
            "commit": commit,
            "is_clean": not _git(folder, "status", "--porcelain", "--untracked-files=no"),
        }
    return {}


def _git(folder: Path, *arguments: str) -> str:
    """Return what git says of a folder, without taking a lock there."""
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    done = subprocess.run(  # noqa: S603  (the arguments are ours)
        command, capture_output=True, timeout=_PATIENCE, check=True
    )
    return done.stdout.decode(errors="replace").strip()
