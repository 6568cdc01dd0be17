"""The script at the end of the tutorial has the steps of the page, and survives a kill."""

import re
from pathlib import Path

import pytest

from helpers.paths import page
from helpers.programs import failing_at, run_program

np = pytest.importorskip("numpy")
pytest.importorskip("sklearn")

STEPS, REST = page("tutorial").read_text(encoding="utf-8").split("\n## The whole script\n")
SCRIPT = REST.split("```py\n")[1].split("```")[0]


def test_its_functions_are_those_of_the_page() -> None:
    definitions = re.findall(r"^(?:def|class) .+\n(?:(?: {4}.*)?\n)+", SCRIPT, re.M)
    assert len(definitions) == 9
    for definition in definitions:
        assert definition.rstrip() in STEPS


def test_it_ends_with_the_same_network_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed = run_program(SCRIPT, tmp_path / "undisturbed", monkeypatch)["runner"].state
    assert len(capsys.readouterr().out.splitlines()) == 10
    with pytest.raises(ZeroDivisionError):
        run_program(failing_at(110, SCRIPT), tmp_path / "killed", monkeypatch)
    assert len(capsys.readouterr().out.splitlines()) == 2
    killed = run_program(SCRIPT, tmp_path / "killed", monkeypatch)["runner"].state
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("epoch 3: ")
    assert float(last.split("accuracy ")[1]) > 0.95
    assert undisturbed["net"].keys() == killed["net"].keys()
    assert all(np.array_equal(undisturbed["net"][key], killed["net"][key]) for key in killed["net"])
    kept = [[file.name for file in (path / "out").glob("*.pkl")] for path in tmp_path.iterdir()]
    assert kept[0] == kept[1]
    assert len(kept[0]) == 1


def test_it_does_nothing_when_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = SCRIPT.replace("max_epoch=10", "max_epoch=1")
    run_program(short, tmp_path, monkeypatch)
    assert capsys.readouterr().out.startswith("epoch 1: ")
    run_program(short, tmp_path, monkeypatch)
    assert capsys.readouterr().out == ""
