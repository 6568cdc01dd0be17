"""The dashboard: which runners it shows, and its address."""

import atexit
import logging
import socket
import sys
from contextlib import suppress
from functools import partial
from html import escape
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from secrets import token_urlsafe
from threading import Lock
from typing import TYPE_CHECKING

from reactivex import abc
from reactivex.disposable import CompositeDisposable, Disposable

from rnnr._errors import as_integer, check_string, wrong_type, wrong_value
from rnnr._isolate import isolate
from rnnr._logs._path import as_path, check_file
from rnnr._runs import Slot, slot_around
from rnnr.attachments._attachment import Attachment
from rnnr.attachments._control import Control
from rnnr.dashboard._log import handlers_of
from rnnr.dashboard._page import Page, PageRunner
from rnnr.dashboard._reading import Reading
from rnnr.dashboard._run import RunModel
from rnnr.dashboard._search import is_search
from rnnr.event import BEGINNINGS, ENDS, Event
from rnnr.reporting._handler_times import HandlerTimes
from rnnr.reporting._reports import reports
from rnnr.runner import Runner, check_runner
from rnnr.selection import Selection, always
from rnnr.state import State
from rnnr.streams._layer import Layer, view_layer

if TYPE_CHECKING:
    from rnnr.dashboard._server import Server

__all__ = ["Dashboard"]

logger = logging.getLogger("rnnr.dashboard")


class Dashboard(Attachment):
    """A page in the browser that shows runs live, and controls them.

    It shows the progress of each run, a chart of each metric, which callback is slow, the last
    events and log records, and why a run has failed. The page is served on its own thread from the
    first `attach_on` or `follow` to the end of the process, or to `close`; later runs use it, too.
    It logs its address at INFO on ``rnnr.dashboard``, or writes it to ``stderr`` if no logging
    handler would show it.

    Everyone who has the address sees everything and, unless ``control`` is false, may pause and
    stop the run. Without the token in the address, the answer is 403. The page can be reached from
    this machine only, unless ``host`` says otherwise. The connection is not encrypted: from another
    machine, use SSH.

    Needs ``pip install 'rnnr[dashboard]'``. It works offline.

    Args:
        port: Port to listen on; 0 picks a free one.
        host: Address of this machine to listen on, a name or an IP address; ``"0.0.0.0"`` stands
            for all addresses, ``"::"`` for all including IPv6.
        control: Whether the page has buttons to pause, step and stop the run.
        allowed_hosts: Additional host names to accept, for example those of a proxy.

    Attributes:
        address (str): Address of the page, once it is attached.
        control (Control): The buttons as methods, also if the page has no buttons.

    Raises:
        ImportError: If the extra is not installed.
        TypeError: If an argument has the wrong type.
        ValueError: If ``port`` is not from 0 to 65535, or ``host`` cannot be an address.

    Example:
        >>> from rnnr import Runner
        >>> from rnnr.dashboard import Dashboard
        >>> trainer = Runner()
        >>> dashboard = Dashboard()
        >>> subscription = dashboard.attach_on(trainer)
        >>> dashboard.address  # doctest: +ELLIPSIS
        'http://127.0.0.1:.../.../'
        >>> trainer.run(range(100))  # open it now: it is live
        >>> dashboard.close()
    """

    def __init__(
        self,
        port: int = 0,
        host: str = "127.0.0.1",
        *,
        control: bool = True,
        allowed_hosts: tuple[str, ...] = (),
    ) -> None:
        cure = "0 picks a free one"
        self._port = as_integer("port", port, 0, cure)
        if self._port > 65535:
            raise wrong_value("port", "at most 65535", port, cure)
        cure = 'write for example "127.0.0.1", for this machine only'
        check_string("host", host, cure)
        if not host or "\0" in host:  # C takes an empty name for all addresses, "\0" for an end
            raise wrong_value("host", "an address of this machine", host, cure)
        if isinstance(allowed_hosts, str):
            cure = f"write allowed_hosts=({allowed_hosts!r},)"
            raise wrong_type("allowed_hosts", "a tuple of names", allowed_hosts, cure)
        for name in allowed_hosts:
            cure = 'write for example allowed_hosts=("gpu7.example.org",)'
            check_string("a name in allowed_hosts", name, cure)
        _check_extra()
        self._host = host
        self._allowed_hosts = {host, "localhost", socket.gethostname(), *allowed_hosts}
        self._page = Page(is_steered=bool(control))
        self._reading = Reading(self._tell)
        self._lock = Lock()
        self._server: Server | None = None
        self._token = token_urlsafe(24)
        self._attached: dict[str, tuple[Slot | None, abc.DisposableBase]] = {}

    def __repr__(self) -> str:
        return f"Dashboard({'not open' if self._server is None else self._address})"

    def _repr_html_(self) -> str:
        if self._server is None:
            return escape(repr(self))
        link = escape(self._address)
        return f'<a href="{link}" target="_blank" rel="noopener">{link}</a>'

    @property
    def control(self) -> Control:
        """The buttons as methods."""
        return self._page.control

    def attach_on(
        self,
        runner: Runner,
        *keys: str,
        name: str = "training",
        config: object = None,
        system: bool = True,
    ) -> abc.DisposableBase:
        """Show the runs of a runner.

        Args:
            runner: Runner to attach to.
            keys: Names of keys of the state that hold metrics, in addition to those that
                `rnnr.reporting.reports` finds by itself.
            name: Name on the page.
            config: Configuration of the runs, as for `rnnr.reporting.reports`: the page shows it,
                and can sort, filter and colour runs by it.
            system: Whether to show what the process and the machine are doing, too.

        Returns:
            A Disposable that detaches again; the page goes on showing what it has.

        Raises:
            TypeError: If ``runner`` is not a runner, a name is not a string, or ``config``
                is not a configuration.
            ValueError: If another runner on the page has that name, if the runner is there already,
                or if ``host`` is not an address of this machine.
            OSError: If the port is in use, or may not be used.
        """
        check_runner(runner)
        model = RunModel(name, control=self.control)
        # made first: it checks the keys before the page is opened
        source = reports(
            runner,
            *keys,
            on=Event.BATCH.where(model.wants) | _ALL_BUT_BATCHES,
            intervals=True,
            config=config,
            system=system,
        )
        shown = PageRunner(model, times=HandlerTimes(runner), slot=runner._slot)
        attached = self._show(name, shown)
        for event in BEGINNINGS:
            attached.add(
                runner.stream(event).add(partial(_find_around, model), layer=view_layer(event))
            )
        attached.add(source.subscribe(isolate(model.add)))
        attached.add(self.control.attach_on(runner))
        # Only during runs: while the root logger has a handler, logging.basicConfig does nothing.
        for event in BEGINNINGS:
            attached.add(runner.stream(event).add(self._start_logging, layer=Layer.CLOCK))
        for event in ENDS:
            stop_logging = partial(self._stop_logging, runner._slot)
            attached.add(runner.stream(event).add(stop_logging, layer=view_layer(event)))
        if runner._slot.is_running:
            self._start_logging(runner.state)
        return attached

    def follow(self, path: str | Path, name: str | None = None) -> abc.DisposableBase:
        """Show recordings, and what is added to them later.

        A process of its own reads them, so that a training beside it loses nothing.

        Args:
            path: File that a `rnnr.recording.Record` writes or has written, of whatever suffix. Or
                a folder: all ``*.jsonl`` below it, except in hidden folders and behind links. Or a
                pattern as of ``glob``. A folder and a pattern are looked through again while a page
                is open, and may have no recordings at first. What is not there so far is a folder
                if it has no suffix, or a slash at its end.
            name: Name on the page; the path, if not given. What is found in a folder or by a
                pattern has its path below that as its name, without ``.jsonl``, after this name
                and a slash if it is given.

        Returns:
            A Disposable that ends it; the page goes on showing what it has.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError, OSError: As for `attach_on`.

        Example:
            >>> from pathlib import Path
            >>> from tempfile import TemporaryDirectory
            >>> from rnnr.dashboard import Dashboard
            >>> dashboard = Dashboard()
            >>> with TemporaryDirectory() as folder:
            ...     following = dashboard.follow(folder)
            ...     best = dashboard.follow(Path(folder, "*", "best.jsonl"), "best")
            ...     dashboard.close()
        """
        file = as_path(path)
        if is_search(path):
            attached = self._show(str(path) if name is None else f"{path}={name}")
            number = self._reading.search(file, name or "")
        else:
            cure = "pass a file that Record('run.jsonl') has written, or a folder, as in 'runs/'"
            check_file(file, "rb", cure)
            shown_as = str(path) if name is None else name
            attached = self._show(shown_as)
            number = self._reading.follow(file, shown_as)
        attached.add(Disposable(lambda: self._reading.leave(number)))
        return attached

    @property
    def address(self) -> str:
        """Address of the page."""
        if self._server is None:
            raise RuntimeError(
                "the dashboard has no address yet: expected it to be attached, got nothing to "
                "show; first write dashboard.attach_on(runner)"
            )
        return self._address

    def close(self) -> None:
        """End the page and its thread, and detach; the runs go on, also a paused one.

        You may attach it again, which opens a new page.
        """
        with self._lock:
            server, self._server = self._server, None
            attached = [each for _, each in self._attached.values()]
        if server is not None:
            atexit.unregister(self.close)
            server.close()
            self._reading.close()
            for each in attached:
                each.dispose()
            self.control.unpause()
            logging.getLogger().removeHandler(self._page.log)
            self._page.clear()

    def _show(self, name: str, runner: PageRunner | None = None) -> CompositeDisposable:
        """Show something under a name, which is a live run, unless ``runner`` is not given."""
        check_string("name", name, 'write for example name="validation"')
        slot = None if runner is None else runner.slot
        attached = CompositeDisposable(Disposable(lambda: self._release(name)))
        self._detach_from_garbage()
        with self._lock:
            if name in self._attached:
                cure = 'give each its own, as in attach_on(runner, name="validation")'
                raise wrong_value("name", "of one runner on the page alone", name, cure)
            if slot is not None and any(slot is other for other, _ in self._attached.values()):
                cure = "first dispose of the Disposable that attach_on has returned"
                raise wrong_value("runner", "on the page once", slot.runner(), cure)
            self._open()
            self._attached[name] = slot, attached
            self._page.show(name, runner)
            live = [each for each, (slot, _) in self._attached.items() if slot is not None]
            self._reading.reserve(live)
        return attached

    def _detach_from_garbage(self) -> None:
        """Detach from runners that no longer exist: a sweep makes a runner for each trial."""
        with self._lock:
            all_attached = list(self._attached.values())
        for slot, attached in all_attached:
            if slot is not None and slot.is_done_with:
                attached.dispose()

    def _release(self, name: str) -> None:
        with self._lock:
            del self._attached[name]
            self._page.leave(name)

    def _tell(self, level: int, text: str) -> None:
        """Log what the process that reads recordings has to say, and show it on the page."""
        logger.log(level, "%s", text)
        if self._page.log not in logging.getLogger().handlers:
            self._page.log.keep(logger.makeRecord(logger.name, level, "", 0, text, (), None))

    def _start_logging(self, _: State) -> None:
        logging.getLogger().addHandler(self._page.log)

    def _stop_logging(self, ended: Slot, _: State) -> None:
        with self._lock:
            others = [slot for slot, _ in self._attached.values() if slot is not ended]
        if not any(slot is not None and slot.is_running for slot in others):
            logging.getLogger().removeHandler(self._page.log)

    def _open(self) -> None:
        """Open the page, unless it is open."""
        if self._server is not None:
            return
        from rnnr.dashboard._connections import bound, reached_as
        from rnnr.dashboard._server import Server

        listening = bound(self._host, self._port)
        port = listening.getsockname()[1]
        self._server = Server(
            self._page, self._reading, listening, self._token, self._allowed_hosts
        )
        self._address = f"http://{reached_as(self._host, listening)}:{port}/{self._token}/"
        self._is_local = ip_address(listening.getsockname()[0]).is_loopback
        atexit.register(self.close)
        self._announce()

    def _announce(self) -> None:
        message = f"The dashboard is at {self._address}"
        if logger.isEnabledFor(logging.INFO) and any(map(_shows_info, handlers_of(logger.name))):
            logger.info(message)
        else:
            with suppress(OSError, ValueError):  # stderr is closed or gone
                print(message, file=sys.stderr)
        if not self._is_local:
            logger.warning(
                "Other machines can reach the dashboard at %s, and nothing is encrypted: whoever "
                "intercepts the address sees the run%s. Prefer host='127.0.0.1' and SSH.",
                self._host,
                " and may stop it" if self._page.is_steered else "",
            )


_ALL_BUT_BATCHES = Selection(
    "all events but BATCH", lambda: dict.fromkeys(set(Event) - {Event.BATCH}, always)
)


def _find_around(model: RunModel, state: State) -> None:
    model.around = slot_around(state) or model.around


def _check_extra() -> None:
    if find_spec("tornado") is None:
        raise ModuleNotFoundError(
            "a Dashboard needs tornado, which cannot be found; "
            "install it with: pip install 'rnnr[dashboard]'",
            name="tornado",
        )


def _shows_info(handler: logging.Handler) -> bool:
    return handler.level <= logging.INFO and not isinstance(handler, logging.NullHandler)
