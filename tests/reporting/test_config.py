"""The configuration of a run: any object becomes a flat mapping of plain values."""

import json
from argparse import Namespace
from collections import namedtuple
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.extras import np
from rnnr import Event, Runner
from rnnr.recording import Record, Tail
from rnnr.reporting import Report, reports
from rnnr.reporting._config import flattened


@dataclass
class Optimizer:
    name: str = "adam"
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass
class Settings:
    lr: float = 0.01
    optimizer: Optimizer = field(default_factory=Optimizer)


class Attributes:
    seed = 1
    _hidden = 2

    def __init__(self) -> None:
        self.lr = 0.01
        self._private = 5

    def method(self) -> None: ...


class Colour(Enum):
    RED = 1


class Hostile:
    def __repr__(self) -> str:
        raise ValueError


class HostileDict(dict[str, Any]):
    def items(self) -> Any:
        raise ValueError


Pair = namedtuple("Pair", "lr depth")


@pytest.mark.parametrize(
    ("config", "flat"),
    [
        (None, {}),
        ({}, {}),
        (
            {"a": 1, "b": 0.5, "c": "text", "d": True, "e": None},
            {"a": 1, "b": 0.5, "c": "text", "d": True, "e": None},
        ),
        ({"a": {"b": {"c": 1}}, 7: {}}, {"a.b.c": 1}),
        (Settings(), {"lr": 0.01, "optimizer.name": "adam", "optimizer.betas": "(0.9, 0.999)"}),
        (Namespace(lr=0.01, sub=SimpleNamespace(x=1)), {"lr": 0.01, "sub.x": 1}),
        (Pair(0.01, {"x": 2}), {"lr": 0.01, "depth.x": 2}),
        (Attributes(), {"lr": 0.01}),
        (Attributes, {"seed": 1}),
        ({"a": float("nan"), "b": -float("inf")}, {"a": "NaN", "b": "-Infinity"}),
        ({"a": 2**60, "b": 10**5000}, {"a": str(2**60), "b": "(int)"}),
        ({"a": Fraction(1, 2), "b": Path("x") / "y"}, {"a": 0.5, "b": str(Path("x") / "y")}),
        ({"a": [1, 2], "b": Attributes}, {"a": "[1, 2]", "b": "Attributes"}),
        ({"a": Colour.RED}, {"a": "<Colour.RED: 1>"}),
        ({"a": Hostile(), "b": 1}, {"a": "(Hostile)", "b": 1}),
        ({"a": HostileDict(), "b": 1}, {"a.(unreadable)": "ValueError", "b": 1}),
        ({Hostile(): 1}, {"(Hostile)": 1}),
        ({"a": "x" * 501}, {"a": "x" * 499 + "…"}),
    ],
    ids=lambda each: type(each).__name__,
)
def test_any_configuration_is_flat(config: Any, flat: dict[str, Any]) -> None:
    found = dict(flattened(config))
    assert found == flat
    assert {name: type(one) for name, one in found.items()} == {
        name: type(one) for name, one in flat.items()
    }
    json.dumps(found, allow_nan=False)
    assert flattened(found) == found


def test_numbers_of_numpy_are_numbers() -> None:
    flat = flattened({"a": np.float32(0.5), "b": np.int64(3), "c": np.float64(0.25)})
    assert flat == {"a": 0.5, "b": 3, "c": 0.25}
    assert [type(one) for one in flat.values()] == [float, int, float]


def test_what_only_looks_like_a_number_is_a_text() -> None:
    class Odd(Fraction):
        def __float__(self) -> float:
            raise OverflowError

        def __repr__(self) -> str:
            return "odd"

    assert flattened({"a": Odd(1, 3)}) == {"a": "odd"}


def test_the_address_of_an_object_is_left_out_so_that_equal_runs_look_equal() -> None:
    assert flattened({"a": object()}) == {"a": "<object object>"}


def test_a_mapping_in_itself_comes_to_an_end() -> None:
    config: dict[str, Any] = {"a": 1}
    config["self"] = config
    assert flattened(config) == {"a": 1, "self": "…"}
    deep: dict[str, Any] = {}
    for _ in range(1000):
        deep = {"a": deep}
    assert list(flattened(deep).values()) == ["…"]


@pytest.mark.parametrize(
    ("n", "last"),
    [
        (199, ("198", 198)),
        (200, ("199", 199)),
        (201, ("and more", "2 more entries")),
        (300, ("and more", "101 more entries")),
        (50_000, ("and more", "more than 10000 more entries")),
    ],
)
def test_what_is_beyond_two_hundred_entries_is_counted(n: int, last: tuple[str, Any]) -> None:
    flat = flattened({str(i): i for i in range(n)})
    assert len(flat) == min(n, 200)
    assert list(flat.items())[-1] == last
    assert flattened(flat) == flat


@pytest.mark.parametrize("config", [3, "lr=0.1", [1], object(), (1, 2)], ids=repr)
def test_what_is_not_a_configuration_is_an_error(config: Any) -> None:
    expected = r"config must be a mapping.*got.*write for example config=\{"
    with pytest.raises(TypeError, match=expected):
        reports(Runner(), config=config)
    with pytest.raises(TypeError, match=expected):
        Record("run.jsonl", config=config)


def test_it_is_in_the_reports_of_the_beginnings_alone() -> None:
    runner, seen = Runner(), list[Report]()
    config = {"lr": 0.01}
    reports(runner, config=config).subscribe(seen.append)
    config["lr"] = 5  # too late
    runner.on(Event.BATCH.once(), lambda state: state.update(running=False))
    runner.run("ab")
    runner.resume()
    told = {report.event: report.config for report in seen}
    assert told.pop(Event.STARTED) == told.pop(Event.RESUMED) == {"lr": 0.01}
    assert {len(each) for each in told.values()} == {0}


def test_a_recording_has_it_on_the_line_of_the_beginning(tmp_path: Path) -> None:
    runner, path = Runner(), tmp_path / "run.jsonl"
    with Record(path, config={"lr": 0.01, "deep": {"a": None}}).attach_on(runner):
        runner.run("ab")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line.get("config") for line in lines[:2]] == [{"lr": 0.01, "deep.a": None}, None]
    assert Tail(path).read()[0].config == {"lr": 0.01, "deep.a": None}
