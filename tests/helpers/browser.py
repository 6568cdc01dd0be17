"""A real browser for tests: the Chromium, Chrome or Edge that is there, driven by Playwright.

Import its fixtures in a conftest.py. Where there is no such browser the tests that drive one are
skipped. Playwright stays on the thread of the test, and until it ends no `asyncio.run` works
there. So the browser is shared by the tests of a module and no longer, and a run that a page has
to steer goes on in another thread.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:  # elsewhere it may be missing: the fixtures import it
    from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Playwright, Request

    from rnnr.dashboard import Dashboard

__all__ = [
    "PARKED",
    "PageOpener",
    "Visit",
    "browser",
    "close_at_once",
    "first_that_starts",
    "launch",
    "open_page",
    "places",
    "playwright",
]

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
_MILLISECONDS = 20_000  # after which what does not come is missing; other work slows the machine

PARKED = """async (n) => {
    for (let i = 0; i < 200; i += 1) {
        const { held, pending } = await navigator.locks.query();
        if (held.length === 1 && pending.length === n - 1) return true;
        await new Promise((go) => setTimeout(go, 50));
    }
    return false;
}"""
"""Waits until one window of a browser parks a request for all of them."""

_COMMANDS = (
    "chromium chromium-browser google-chrome google-chrome-stable google-chrome-beta "
    "microsoft-edge microsoft-edge-stable microsoft-edge-beta"
)
_UNIX = ("/snap/bin/chromium", "/opt/google/chrome/chrome", "/opt/microsoft/msedge/msedge")
_MAC = ("Chromium", "Google Chrome", "Google Chrome Beta", "Microsoft Edge")
_WINDOWS = (
    "Chromium/Application/chrome.exe",
    "Google/Chrome/Application/chrome.exe",
    "Google/Chrome Beta/Application/chrome.exe",
    "Microsoft/Edge/Application/msedge.exe",
)


def places(platform: str = sys.platform, env: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Yield where a browser may be, the likeliest first: on the PATH, then the usual places."""
    for command in _COMMANDS.split():
        yield which(command, path=env.get("PATH", "")) or ""
    if platform == "darwin":
        for folder in ("/Applications", f"{env.get('HOME', '')}/Applications"):
            yield from (f"{folder}/{name}.app/Contents/MacOS/{name}" for name in _MAC)
    elif platform == "win32":
        for variable in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"):
            yield from (f"{env.get(variable, '')}/{path}" for path in _WINDOWS)
    else:
        yield from _UNIX


def first_that_starts(paths: Iterable[str], platform: str = sys.platform) -> str | None:
    """Return the first path of a browser that is installed.

    Ubuntu has a ``chromium-browser`` that only says how to install one; it fails when asked for
    its version. On Windows that question would open a window.
    """
    for path in filter(os.path.isfile, paths):
        ask = [path, "--version", "--no-sandbox"]
        if platform == "win32" or not subprocess.run(ask, capture_output=True).returncode:
            return path
    return None


@contextmanager
def launch(playwright: Playwright, profile: Path) -> Iterator[BrowserContext]:
    """Start a browser of its own with a new profile folder, and end it.

    Without one the test is skipped.
    """
    path = first_that_starts([*places(), playwright.chromium.executable_path])
    if path is None:
        pytest.skip(
            "no Chromium, Chrome or Edge is installed; install one with: "
            "python -m playwright install --with-deps chromium"
        )
    context = playwright.chromium.launch_persistent_context(
        profile,
        executable_path=path,
        args=_FLAGS.split(),
        viewport={"width": 1280, "height": 900},
    )
    context.set_default_timeout(_MILLISECONDS)
    try:
        yield context
    finally:
        context.close()


class Visit:
    """A page, and what the browser tells of it.

    Attributes:
        page: The page.
        requests: Addresses that it has asked for.
        complaints: Messages in the console, uncaught errors, dialogs, requests that failed.
    """

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.page: Page = context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._address = address.partition("#")[0]
        self.page.on("request", self._asked)
        self.page.on("requestfailed", self._failed)
        self.page.on("console", self._told)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("response", lambda response: self._answered(response.status, response.url))
        self.page.goto(address)

    def strangers(self) -> list[str]:
        """Return the requests that went anywhere but below the address of the page."""
        return [url for url in self.requests if not url.startswith(self._address)]

    def _asked(self, request: Request) -> None:
        if urlsplit(request.url).scheme != "data":  # written in the page itself
            self.requests.append(request.url)

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # by a reload
            self.complaints.append(f"{request.failure}: {request.url}")

    def _answered(self, status: int, url: str) -> None:
        if status >= 400:
            self.complaints.append(f"{status}: {url}")

    def _told(self, message: ConsoleMessage) -> None:
        self.complaints.append(f"{message.type}: {message.text}")


def close_at_once(dashboard: Dashboard) -> None:
    """Close a dashboard whose pages are closed, which it may not have noticed yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rnnr.dashboard._farewell._SECONDS", 0.0)
        dashboard.close()


PageOpener: TypeAlias = "Callable[..., Page]"
"""Opens an address as a page: see `open_page`."""


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """What starts browsers."""
    pytest.importorskip("playwright")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=_MILLISECONDS)
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(
    playwright: Playwright, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BrowserContext]:
    """The browser of most tests."""
    with launch(playwright, tmp_path_factory.mktemp("profile")) as context:
        yield context


@pytest.fixture
def open_page(browser: BrowserContext) -> Iterator[PageOpener]:
    """Opens an address as a page of its own.

    After the test no page may have asked another host, or have made the browser complain; one that
    is opened with ``may_complain=True`` may do the latter. ``context`` is another browser.
    """
    visits: list[tuple[Visit, bool]] = []

    def open_it(
        address: str, *, context: BrowserContext = browser, may_complain: bool = False
    ) -> Page:
        visits.append((visit := Visit(context, address), may_complain))
        return visit.page

    yield open_it
    heard = [(visit.strangers(), [] if may else list(visit.complaints)) for visit, may in visits]
    for visit, _ in visits:
        visit.page.close()
    assert heard == [([], [])] * len(visits)
