"""What tests of the dashboard share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from helpers.browser import Visit, browser, close_at_once, open_page, playwright
from rnnr import Runner

if TYPE_CHECKING:  # they need Playwright and Tornado, which may be missing
    from playwright.sync_api import BrowserContext, Page

    from rnnr.dashboard import Dashboard

__all__ = ["blank", "browser", "dashboard", "in_background", "open_page", "playwright"]


@pytest.fixture
def dashboard() -> Iterator[Dashboard]:
    """A dashboard that is closed after the test."""
    from rnnr.dashboard import Dashboard

    dashboard = Dashboard()
    yield dashboard
    close_at_once(dashboard)


@pytest.fixture
def in_background(dashboard: Dashboard) -> Iterator[Callable[..., Future[None]]]:
    """Runs on a thread of its own; what still goes on after the test is stopped."""
    with ThreadPoolExecutor() as threads:
        yield threads.submit
        dashboard.control.stop()


@pytest.fixture(scope="module")
def blank(browser: BrowserContext) -> Iterator[Page]:
    """A page without a run, to call functions of its modules."""
    from rnnr.dashboard import Dashboard

    dashboard = Dashboard()
    dashboard.attach_on(Runner())
    page = Visit(browser, dashboard.address).page
    yield page
    page.close()
    close_at_once(dashboard)
