"""Which browser the tests of the page drive."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.browser import first_that_starts, launch, places


def program(path: Path, status: int = 0) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nexit {status}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    "command", ["chromium", "chromium-browser", "google-chrome", "google-chrome-beta"]
)
def test_a_browser_on_the_path_is_found(command: str, tmp_path: Path) -> None:
    path = program(tmp_path / command)
    assert first_that_starts(places("linux", {"PATH": str(tmp_path)})) == path


@pytest.mark.parametrize("name", ["Chromium", "Google Chrome", "Microsoft Edge"])
def test_a_browser_among_the_programs_of_a_mac_is_found(name: str, tmp_path: Path) -> None:
    path = program(tmp_path / f"Applications/{name}.app/Contents/MacOS/{name}")
    assert first_that_starts(places("darwin", {"HOME": str(tmp_path)})) == path


@pytest.mark.parametrize("variable", ["PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"])
@pytest.mark.parametrize("name", ["Google/Chrome/Application/chrome.exe"])
def test_a_browser_among_the_programs_of_windows_is_found_without_a_start(
    variable: str, name: str, tmp_path: Path
) -> None:
    path = program(tmp_path / name, status=1)
    found = first_that_starts(places("win32", {variable: str(tmp_path)}), "win32")
    assert found == path


def test_a_command_that_does_not_start_is_no_browser(tmp_path: Path) -> None:
    program(tmp_path / "chromium-browser", status=1)
    other = program(tmp_path / "microsoft-edge")
    assert first_that_starts(places("linux", {"PATH": str(tmp_path)})) == other


def starter(own: str) -> Any:
    def start(profile: Path, executable_path: str, **kwargs: Any) -> Any:
        started.append(executable_path)
        return SimpleNamespace(set_default_timeout=started.append, close=started.clear)

    started: list[Any] = []
    chromium = SimpleNamespace(executable_path=own, launch_persistent_context=start)
    return SimpleNamespace(chromium=chromium, started=started)


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("helpers.browser.places", lambda: iter(["", "/no/such/browser"]))


def test_the_browser_that_playwright_has_downloaded_is_the_last_resort(
    nowhere: None, tmp_path: Path
) -> None:
    own = program(tmp_path / "chrome")
    with launch(playwright := starter(own), tmp_path):
        assert playwright.started[0] == own


def test_without_a_browser_the_tests_are_skipped_and_the_cure_is_named(
    nowhere: None, tmp_path: Path
) -> None:
    with (
        pytest.raises(pytest.skip.Exception, match="python -m playwright install"),
        launch(starter(str(tmp_path / "none")), tmp_path),
    ):
        pass
