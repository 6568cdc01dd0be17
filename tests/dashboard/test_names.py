"""Names on the command line and on the page, and which recordings share a row."""

from pathlib import Path

import pytest

from rnnr.dashboard._names import free_name, owner_of, path_and_name


@pytest.mark.parametrize(
    ("argument", "path", "name"),
    [
        ("a.jsonl", "a.jsonl", None),
        ("a.jsonl=best", "a.jsonl", "best"),
        ("a.jsonl=best = yesterday", "a.jsonl", "best = yesterday"),
        ("a.jsonl=", "a.jsonl=", None),
        ("lr=1.jsonl", "lr=1.jsonl", None),
        ("lr=1.jsonl=slow", "lr=1.jsonl", "slow"),
        ("folder", "folder", None),
        ("folder=others", "folder", "others"),
        ("folder/=others", "folder/", "others"),
        ("folder/*.jsonl", "folder/*.jsonl", None),
        ("folder/*.jsonl=others", "folder/*.jsonl", "others"),
        ("l*=1/*.jsonl", "l*=1/*.jsonl", None),
        ("l*=1.jsonl", "l*=1.jsonl", None),
        ("missing=name", "missing=name", None),
        ("missing/=name", "missing/", "name"),
    ],
)
def test_an_argument_is_a_path_or_a_path_and_a_name(
    argument: str, path: str, name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("a.jsonl", "lr=1.jsonl"):
        Path(file).touch()
    Path("folder").mkdir()
    assert path_and_name(argument) == (path, name)


def test_a_name_that_is_taken_is_replaced_by_a_longer_one_or_by_a_number() -> None:
    taken: set[str] = set()
    given = []
    for _ in range(4):
        given.append(free_name(["run", "folder/run"], taken))
        taken.add(given[-1])
    assert given == ["run", "folder/run", "folder/run (2)", "folder/run (3)"]


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("plain-08.jsonl", None),
        ("plain-08.validation.jsonl", ("plain-08.jsonl", "validation")),
        ("plain-08.validation.ema.jsonl", ("plain-08.jsonl", "validation.ema")),
        ("validation.jsonl", None),
        ("other.validation.jsonl", None),
        ("plain-08.5.jsonl", None),
        ("plain-08..jsonl", None),
        (".jsonl", None),
        ("plain-08.txt", None),
    ],
)
def test_a_recording_named_after_another_one_shares_its_row(
    name: str, owner: tuple[str, str] | None
) -> None:
    names = ["plain-08.jsonl", "plain-08.validation.jsonl", "training.jsonl", "validation.jsonl"]
    paths = {Path("/runs", one) for one in names}
    expected = None if owner is None else (Path("/runs", owner[0]), owner[1])
    assert owner_of(Path("/runs", name), paths) == expected
    assert owner_of(Path("/others", name), paths) is None
