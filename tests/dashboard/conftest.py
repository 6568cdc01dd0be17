"""What tests of the dashboard share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from helpers.browser import browser, open_page, playwright

if TYPE_CHECKING:  # it needs Tornado, which may be missing
    from rnnr.dashboard import Dashboard

__all__ = ["browser", "dashboard", "in_background", "open_page", "playwright"]


@pytest.fixture
def dashboard() -> Iterator[Dashboard]:
    """A dashboard that is closed after the test."""
    from rnnr.dashboard import Dashboard

    dashboard = Dashboard()
    yield dashboard
    dashboard.close()


@pytest.fixture
def in_background(dashboard: Dashboard) -> Iterator[Callable[..., Future[None]]]:
    """Runs on a thread of its own; what still goes on after the test is stopped."""
    with ThreadPoolExecutor() as threads:
        yield threads.submit
        dashboard.control.stop()
