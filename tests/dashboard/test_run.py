"""What the page knows of a run: how far it is, and the points of its charts."""

import itertools
import json
import math
import sys
import threading
from array import array
from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.curves import Curves, Row
from rnnr import Event, Runner
from rnnr.attachments import Control, ControlStatus
from rnnr.dashboard import _metrics
from rnnr.dashboard._metrics import packed
from rnnr.dashboard._run import RunModel
from rnnr.reporting import Report, reports
from rnnr.reporting._interval import Interval, interval_of


class Page:
    """What a page does with the answers: it asks for each curve of the run."""

    def __init__(self, track: RunModel) -> None:
        self._track = track
        self._version: int | None = None
        self._curves = Curves()
        self.run: dict[str, Any] = {}

    def ask(self) -> "Page":
        answer, self._version = self._track.since(self._version)
        if answer is not None:
            self.run = json.loads(json.dumps(answer, allow_nan=False))  # as it travels
        for place in range(len(self.run["metrics"]["names"])):
            _, *numbers = self._curves.wanted(self.run["key"], place).split(".")
            found = self._track.curve(*map(int, numbers))
            assert found is not None
            self._curves.take(packed([found], is_cut=False))
        return self

    @property
    def curves(self) -> dict[tuple[str, str], list[Row]]:
        metrics = self.run["metrics"]
        return {
            (of, name): self._curves.rows[self.run["key"], place]
            for place, (of, name) in enumerate(zip(metrics["of"], metrics["names"], strict=True))
        }

    def knows(self) -> str:
        passing = {"silent"}  # how long ago the latest report was
        run = {name: self.run[name] for name in self.run.keys() - passing}
        return repr((self.curves, sorted(run.items())))


def curve(track: RunModel, name: str, of: str = "batch") -> list[tuple[float, float]]:
    """Return the steps and means of a curve, as a page that is opened now gets them."""
    return [(row[0], row[3]) for row in Page(track).ask().curves[of, name]]


def latest(track: RunModel) -> dict[tuple[str, str], Any]:
    metrics = summary(track)["metrics"]
    return dict(
        zip(zip(metrics["of"], metrics["names"], strict=True), metrics["last"], strict=True)
    )


def report(event: Event, n_iters: int = 0, epoch: int = 1, **others: Any) -> Report:
    fields = {"max_epoch": 4, "seconds": float(n_iters), "metrics": {}, "step": n_iters}
    return Report(event, epoch, n_iters=n_iters, **{**fields, **others})


def summary(track: RunModel) -> dict[str, Any]:
    run, _ = track.since(None)
    assert run is not None
    return run


def told(track: RunModel, *many: Report) -> dict[str, Any]:
    for each in many:
        track.add(each)
    return summary(track)


@pytest.fixture(params=[3, 5, 1000])
def limit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have curves that are soon full, and others."""
    monkeypatch.setattr(_metrics, "_FULL", request.param)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have curves that are soon full."""
    monkeypatch.setattr(_metrics, "_FULL", 4)


def test_before_the_first_report_it_waits() -> None:
    assert summary(RunModel("a"))["status"] == "waiting"


def _parts(many: list[float]) -> tuple[tuple[int, Interval], ...]:
    """Return intervals of one value each, and the last of all."""
    return tuple((10 + step, interval_of((value,))) for step, value in enumerate(many))


METRICS = st.dictionaries(
    st.sampled_from(["loss", "", "</b>", "__proto__"]), st.floats(allow_nan=True), max_size=3
)
REPORTS = st.builds(
    Report,
    event=st.sampled_from([*Event, *[Event.BATCH] * 10]),
    epoch=st.integers(-1, 9),
    max_epoch=st.sampled_from([0, 1, 5, 2**60]),
    n_iters=st.integers(-1, 50),
    seconds=st.floats(allow_nan=True),
    metrics=METRICS,
    batches_per_second=st.none() | st.floats(),
    n_batches=st.none() | st.integers(0, 9),
    step=st.integers(0, 50),
    is_inside=st.booleans(),
    error=st.none() | st.text(),
    config=st.dictionaries(st.text(max_size=3), st.none() | st.text(max_size=3), max_size=2),
    intervals=st.dictionaries(
        st.sampled_from(["loss", "other"]),
        st.lists(st.floats(), min_size=1, max_size=3).map(_parts),
        max_size=2,
    ),
)
FORWARD = st.lists(METRICS, max_size=60).map(
    lambda many: [report(Event.BATCH, i, metrics=each) for i, each in enumerate(many)]
)


@pytest.mark.usefixtures("limit")
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=st.lists(st.lists(REPORTS, max_size=9) | FORWARD, max_size=20))
def test_a_page_that_asks_now_and_then_knows_what_a_new_one_gets(
    story: list[list[Report]],
) -> None:
    track = RunModel("a")
    page = Page(track)
    for some in story:
        for each in some:
            track.add(each)
        page.ask()
    assert page.ask().knows() == Page(track).ask().knows()
    fraction = page.run.get("fraction")
    assert fraction is None or 0 <= fraction <= 1


@pytest.mark.usefixtures("small")
def test_a_page_gets_only_what_is_new() -> None:
    track = RunModel("a")
    told(track, *(report(Event.BATCH, i, metrics={"loss": i}) for i in (1, 2, 3)))
    head, octets = track.curve(0, 0, 0) or ({}, b"")
    assert (head["from"], head["n"], head["closed"], head["columns"]) == (0, 3, 2, 2)
    assert array("d", octets).tolist() == [1, 2, 3, 1, 2, 3]
    track.add(report(Event.BATCH, 4, metrics={"loss": math.nan}))
    head, octets = track.curve(0, head["rewritten"], head["closed"]) or ({}, b"")
    assert (head["from"], head["n"], head["width"]) == (2, 2, 1)
    assert array("d", octets).tolist()[:2] == [3, 4]
    before = head
    told(track, *(report(Event.BATCH, i, metrics={"loss": 0.0}) for i in (5, 6)))  # merged
    head, _ = track.curve(0, before["rewritten"], before["closed"]) or ({}, b"")
    assert (head["from"], head["n"], head["width"], head["columns"]) == (0, 3, 2, 4)
    assert head["version"] > before["version"]
    for place in (1, -1, 10**9):
        assert track.curve(place, 0, 0) is None
    for odd in [(head["rewritten"], 99), (head["rewritten"], -1), (-5, 2)]:
        again, _ = track.curve(0, *odd) or ({}, b"")
        assert again["from"] == 0


def test_a_run_that_has_not_changed_is_not_told_again() -> None:
    track = RunModel("a")
    track.add(report(Event.FINISHED, 1))
    run, version = track.since(None, part="training")
    assert run is not None
    assert run["part"] == "training"
    assert track.since(version, part="training") == (None, version)
    assert track.since(version, part="other")[0] is not None
    _, version = track.since(None, part="training")
    track.add(report(Event.RESUMED, 1))
    assert track.since(version, part="training")[0] is not None


def test_a_metric_has_a_row_only_where_it_had_a_value() -> None:
    track = RunModel("a")
    many = [{"a": 1.0}, {"b": math.inf}, {}, {}]
    told(track, *(report(Event.BATCH, i, metrics=m) for i, m in enumerate(many)))
    assert curve(track, "a") == [(0, 1.0)]
    assert repr(curve(track, "b")) == "[(1.0, nan)]"
    assert latest(track) == {("batch", "a"): 1.0, ("batch", "b"): "Infinity"}
    assert summary(track)["metrics"]["not_finite"] == [0, 1]


def test_a_spike_between_two_reports_is_seen() -> None:
    runner, track = Runner(), RunModel("a", control=Control())
    on = Event.BATCH.every(1000) | Event.FINISHED
    reports(runner, on=on, intervals=True).subscribe(track.add)

    @runner.on(Event.BATCH)
    def train(state: dict[str, Any]) -> None:
        state["stats"] = {"loss": 1e6 if state["n_iters"] == 7_001 else 0.5}
        if not state["n_iters"] % 50:
            state["stats"]["norm"] = float(state["n_iters"])

    runner.run(range(10_010))
    metrics = summary(track)["metrics"]
    assert metrics["names"] == ["loss", "norm"]
    assert (metrics["least"], metrics["greatest"]) == ([0.5, 50.0], [1e6, 10_000.0])
    assert metrics["last"] == [0.5, 10_000.0]
    rows = Page(track).ask().curves["batch", "loss"]
    (at,) = (row[0] for row in rows if row[2] == 1e6)
    assert 7_001 <= at < 7_001 + 2 * 512


def test_the_ends_of_epochs_have_a_curve_of_their_own() -> None:
    track = RunModel("a")
    told(
        track,
        report(Event.BATCH, 1, metrics={"loss": 1.0}),
        report(Event.EPOCH_FINISHED, 1, metrics={"loss": 0.5}, results=("loss",)),
        report(Event.BATCH, 2, metrics={"loss": 0.4}),
        report(Event.EPOCH_FINISHED, 2, epoch=2, metrics={"loss": 0.3}, results=("loss",)),
    )
    assert curve(track, "loss") == [(1, 1.0), (2, 0.4)]
    assert curve(track, "loss", "epoch") == [(1, 0.5), (2, 0.3)]
    run = summary(track)
    assert (run["metrics"]["names"], run["metrics"]["of"]) == (["loss"] * 2, ["batch", "epoch"])
    assert (run["epochs"], run["clock"]) == ([[1, 1], [2, 2]], [[1, 1.0], [2, 2.0]])


def test_batches_of_a_run_inside_another_have_no_place_on_the_axis_its_epochs_have() -> None:
    track = RunModel("evaluation")
    answer = told(
        track,
        report(Event.STARTED, 0, step=10, is_inside=True),
        report(Event.BATCH, 1, step=10, is_inside=True, metrics={"loss": 1.0}),
        report(Event.EPOCH_FINISHED, 1, step=10, is_inside=True, metrics={"loss": 0.5}),
        report(Event.STARTED, 0, step=20, is_inside=True),
        report(Event.EPOCH_FINISHED, 1, step=20, is_inside=True, metrics={"loss": 0.4}),
        report(Event.FINISHED, 1, step=20, is_inside=True, metrics={"loss": 0.4, "end": 1.0}),
    )
    assert answer["inside"] is True
    assert curve(track, "loss", "epoch") == [(10, 0.5), (20, 0.4)]
    assert latest(track) == {("epoch", "loss"): 0.4, ("epoch", "end"): 1.0}
    assert (answer["clock"], answer["epochs"]) == ([], [])  # those of the run around it count


def test_a_new_run_forgets_the_points_and_metrics_of_the_one_before() -> None:
    track = RunModel("a")
    before = told(
        track,
        report(Event.STARTED, config={"lr": 0.1}),
        report(Event.BATCH, 1, metrics={"loss": 1.0}),
        report(Event.BATCH, 2, metrics={"loss": 1.0}),
    )
    answer = told(track, report(Event.STARTED), report(Event.BATCH, 1, metrics={"accuracy": 1.0}))
    assert latest(track) == {("batch", "accuracy"): 1.0}
    assert curve(track, "accuracy") == [(1, 1.0)]
    assert before["key"] != answer["key"]
    assert (before["config"], answer["config"]) == ({"lr": 0.1}, {})


def test_the_first_run_keeps_the_key_that_it_had_while_it_was_waited_for() -> None:
    track = RunModel("a")
    assert summary(track)["key"] == told(track, report(Event.STARTED))["key"]


def test_a_run_that_is_set_back_goes_on_from_there() -> None:
    track = RunModel("a")
    told(track, *(report(Event.BATCH, i, metrics={"loss": float(i)}) for i in range(1, 9)))
    told(track, report(Event.EPOCH_FINISHED, 8), report(Event.RESUMED, 5, config={"lr": 1}))
    assert curve(track, "loss") == [(i, float(i)) for i in range(1, 6)]
    assert latest(track) == {("batch", "loss"): 5.0}
    answer = told(track, report(Event.BATCH, 6, metrics={"loss": 0.0}))
    assert curve(track, "loss")[-1] == (6, 0.0)
    assert (answer["epochs"], answer["clock"][-1], answer["config"]) == ([], [6, 6.0], {"lr": 1})


def test_a_metric_without_a_value_before_that_has_no_latest_value() -> None:
    track = RunModel("a")
    told(
        track,
        report(Event.BATCH, 1, metrics={"loss": 1.0}),
        report(Event.EPOCH_FINISHED, 1, metrics={"mean": 0.5}, results=("mean",)),
        report(Event.BATCH, 2, metrics={"loss": 2.0, "late": 3.0}),
        report(Event.EPOCH_FINISHED, 2, epoch=2, metrics={"mean": 0.25}, results=("mean",)),
        report(Event.RESUMED, 1),
    )
    wanted = {("batch", "loss"): 1.0, ("epoch", "mean"): 0.5, ("batch", "late"): None}
    assert latest(track) == wanted


def test_the_latest_value_is_of_the_curve_where_a_run_is_set_back() -> None:
    track = RunModel("training")
    for n in (1, 2, 3):
        track.add(report(Event.BATCH, n, metrics={"loss": float(n)}))
        track.add(report(Event.EPOCH_FINISHED, n, n, metrics={"accuracy": n / 10}))
    track.add(report(Event.RESUMED, 1))
    assert latest(track) == {("batch", "loss"): 1.0, ("epoch", "accuracy"): 0.1}
    track.add(report(Event.RESUMED, 0))
    assert latest(track) == {("batch", "loss"): None, ("epoch", "accuracy"): None}


def test_a_metric_that_comes_late_or_only_at_the_end_has_a_curve() -> None:
    track = RunModel("a")
    told(
        track,
        report(Event.BATCH, 1, metrics={"loss": 1.0}),
        report(Event.BATCH, 2, metrics={"loss": 1.0, "late": 2.0}),
        report(Event.FINISHED, 2, metrics={"loss": 1.0, "late": 2.0, "test": 0.75}),
    )
    assert curve(track, "late") == [(2, 2.0)]
    assert curve(track, "test", "epoch") == [(2, 0.75)]
    assert summary(track)["metrics"]["names"] == ["loss", "late", "test"]


def test_metrics_of_the_machine_are_of_batches_at_whatever_event_they_come() -> None:
    track, busy = RunModel("a"), {"system/cpu_percent": 90.0}
    told(
        track,
        report(Event.STARTED, 0, metrics=busy),
        report(Event.BATCH, 3, metrics=busy),
        report(Event.EPOCH_FINISHED, 3, metrics=busy),
        report(Event.EPOCH_FINISHED, 5, metrics=busy),
        report(Event.FINISHED, 6, metrics=busy),
    )
    assert curve(track, "system/cpu_percent") == [(step, 90.0) for step in (0, 3, 5, 6)]
    assert summary(track)["metrics"]["of"] == ["batch"]


@pytest.mark.parametrize("control", [None, Control()], ids=["recorded", "live"])
def test_a_run_tells_when_it_began(control: Control | None) -> None:
    track = RunModel("a", control=control)
    answer = told(track, report(Event.STARTED, 0, began=1000.0), report(Event.BATCH, 1))
    assert (answer["live"], answer["began"]) == (control is not None, 1000.0)
    older = told(RunModel("a"), report(Event.STARTED, 0))  # from a file of an earlier version
    assert older["began"] is None
    odd = told(RunModel("a"), report(Event.STARTED, 0, began=math.inf))
    assert odd["began"] is None


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (Event.STARTED, "running"),
        (Event.RESUMED, "running"),
        (Event.EPOCH_STARTED, "running"),
        (Event.BATCH, "running"),
        (Event.EPOCH_FINISHED, "running"),
        (Event.FINISHED, "finished"),
        (Event.STOPPED, "stopped"),
        (Event.FAILED, "failed"),
    ],
)
def test_the_status_follows_from_the_last_event(event: Event, status: str) -> None:
    answer = told(RunModel("a"), report(Event.FAILED, error="before"), report(event, error="boom"))
    assert (answer["status"], answer["error"]) == (status, "boom")
    assert answer["event"] == event.name


def test_who_has_stopped_a_run_is_told_until_it_goes_on() -> None:
    model = RunModel("a")
    model.add(report(Event.STOPPED, stopped_by="SIGTERM"))
    assert told(model)["stopped_by"] == "SIGTERM"
    assert model.events[-1][2].endswith(", by SIGTERM")
    model.add(report(Event.RESUMED))
    assert told(model)["stopped_by"] is None


class Batches:
    """Batches that may tell a length, which may be wrong."""

    def __init__(self, lengths: list[int]) -> None:
        self._lengths = iter(lengths)

    def __iter__(self) -> Iterator[int]:
        return iter(range(next(self._lengths)))


class Sized(Batches):
    def __init__(self, lengths: list[int], length: int) -> None:
        super().__init__(lengths)
        self._length = length

    def __len__(self) -> int:
        return self._length


@given(
    lengths=st.lists(st.integers(0, 6), max_size=6),
    length=st.none() | st.integers(0, 8),
    stops=st.sets(st.tuples(st.sampled_from([*Event][:4]), st.integers(0, 20)), max_size=4),
)
def test_what_is_done_only_grows_and_in_the_end_it_is_all(
    lengths: list[int], length: int | None, stops: set[tuple[Event, int]]
) -> None:
    runner, track, fractions = Runner(), RunModel("a"), []

    def stop(event: Event, state: dict[str, Any]) -> None:
        if (event, state["n_iters"]) in stops:
            stops.remove((event, state["n_iters"]))
            state["running"] = False

    def watch(each: Report) -> None:
        answer = told(track, each)
        fractions.append(answer["fraction"])
        if answer["batch"] is not None:
            assert 0 <= answer["batch"] <= answer["n_iters"]
        left = answer["seconds_left"]
        assert left is None or left >= 0

    reports(runner).subscribe(watch)
    for event in Event:
        runner.on(event, lambda state, event=event: stop(event, state))  # type: ignore[misc]
    batches = Batches(lengths) if length is None else Sized(lengths, length)
    runner.run(batches, max_epoch=len(lengths))
    while summary(track)["status"] == "stopped":
        runner.resume()
    known = [fraction for fraction in fractions if fraction is not None]
    assert known == sorted(known)
    assert all(0 <= fraction <= 1 for fraction in known)
    assert fractions[-1] == 1


def test_it_goes_back_where_a_run_is_set_back() -> None:
    track = RunModel("a")
    seen = [
        told(track, each)["fraction"]
        for each in [
            report(Event.STARTED, epoch=0, n_batches=10),
            report(Event.EPOCH_STARTED, 20, epoch=3, n_batches=10),
            report(Event.BATCH, 25, epoch=3, n_batches=10),
            report(Event.EPOCH_FINISHED, 30, epoch=3, n_batches=10),
            report(Event.RESUMED, 15, epoch=2, n_batches=10),  # another state was put in
            report(Event.BATCH, 16, epoch=2, n_batches=10),
            report(Event.STARTED, epoch=0, n_batches=10),
            report(Event.EPOCH_STARTED, epoch=1, n_batches=10),
        ]
    ]
    assert seen == [0, 0.5, 0.625, 0.75, 0.375, 0.4, 0, 0]


def test_of_an_endless_run_nobody_knows_how_much_is_done() -> None:
    answer = told(RunModel("a"), report(Event.BATCH, 7, max_epoch=2**63 - 1, n_batches=10))
    assert (answer["max_epoch"], answer["fraction"], answer["seconds_left"]) == (None, None, None)
    assert told(RunModel("a"), report(Event.FINISHED, max_epoch=0))["fraction"] == 1


def test_a_length_that_is_not_told_is_learned_from_the_first_epoch() -> None:
    track = RunModel("a")
    first = told(track, report(Event.EPOCH_STARTED, 0), report(Event.BATCH, 2))
    assert (first["batch"], first["n_batches"], first["fraction"]) == (2, None, 0)
    second = told(
        track,
        report(Event.EPOCH_FINISHED, 5),
        report(Event.EPOCH_STARTED, 5, epoch=2),
        report(Event.BATCH, 6, epoch=2),
    )
    assert (second["batch"], second["n_batches"], second["fraction"]) == (1, 5, 0.3)


def test_a_run_that_is_first_heard_of_in_the_middle_has_a_batch_if_there_is_a_length() -> None:
    assert told(RunModel("a"), report(Event.BATCH, 25, epoch=3, n_batches=10))["batch"] == 5
    assert told(RunModel("a"), report(Event.BATCH, 25, epoch=3))["batch"] is None
    assert told(RunModel("a"), report(Event.EPOCH_FINISHED, 25, epoch=3))["n_batches"] is None


@pytest.mark.parametrize("before", [0, 20])
def test_the_time_left_is_what_the_rest_takes_at_the_mean_speed_since_the_start(
    before: int,
) -> None:
    began = report(Event.RESUMED if before else Event.STARTED, before, n_batches=10, seconds=100.0)
    epoch = before // 10 + 1
    opened = report(Event.EPOCH_STARTED, before, epoch, n_batches=10, seconds=100.0)
    now = report(Event.BATCH, before + 5, epoch, n_batches=10, seconds=110.0)
    answer = told(RunModel("a"), began, opened, now)
    assert answer["seconds_left"] == pytest.approx((40 - before - 5) * 2)


@pytest.mark.parametrize(
    "now",
    [
        report(Event.BATCH, 0, n_batches=10),
        report(Event.BATCH, 5, n_batches=10, seconds=0.0),
        report(Event.BATCH, 5, n_batches=10, seconds=-1.0),
        report(Event.BATCH, 5),
        report(Event.STOPPED, 5, n_batches=10),
        report(Event.FAILED, 5, n_batches=10),
        report(Event.FINISHED, 5, n_batches=10),
    ],
    ids=lambda now: f"{now.event.name} {now.n_iters} {now.seconds} {now.n_batches}",
)
def test_the_time_left_is_unknown_before_there_is_a_speed_and_when_it_has_ended(
    now: Report,
) -> None:
    assert told(RunModel("a"), report(Event.STARTED), now)["seconds_left"] is None


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -5.0])
def test_a_clock_that_tells_nonsense_gives_no_time_and_no_speed(number: float) -> None:
    track = RunModel("a")
    answer = told(track, report(Event.STARTED), report(Event.EPOCH_STARTED, 1, seconds=number))
    assert [answer[key] for key in ("seconds", "batches_per_second")] == [None, None]
    json.dumps(answer, allow_nan=False)
    assert [when for _, when, _ in track.events] == ["+0.0 s", ""]


class Live:
    """A live run on the page, whose time and status a test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.status = ControlStatus.NONE
        control: Any = self  # has a status, as a control does
        self.track = RunModel("a", control=control, clock=lambda: self.now)
        self.n_iters = 0
        self.add(Event.STARTED)
        self.add(Event.EPOCH_STARTED)

    def add(self, event: Event, seconds: float = 0.0, **others: Any) -> None:
        self.now += seconds
        self.n_iters += event is Event.BATCH
        others = {"seconds": self.now - 100, "n_batches": 1000, **others}
        self.track.add(report(event, self.n_iters, **others))

    def asked(self, *keys: str) -> list[Any]:
        """Ask as a page does."""
        self.track.ask()
        answer = summary(self.track)
        return [answer[key] for key in keys]


KNOWN = ("status", "batches_per_second", "silent")


class TestWhatIsToldOfALiveRun:
    def test_one_that_is_paused_is_paused_and_begins_to_be_measured_again_afterwards(self) -> None:
        live = Live()
        for _ in range(20):
            live.add(Event.BATCH, 0.5)
        assert live.asked(*KNOWN) == ["running", 2, 0]
        live.status = ControlStatus.PAUSING
        assert live.asked(*KNOWN) == ["running", 2, 0]
        live.add(Event.BATCH, 0.5)
        live.status, live.now = ControlStatus.PAUSED, live.now + 4000
        assert live.asked(*KNOWN, "seconds_left") == ["paused", None, 0, None]
        live.status = ControlStatus.NONE
        assert live.asked("silent") == [0]
        live.add(Event.BATCH, 0.5)
        assert live.asked(*KNOWN) == ["running", None, 0]
        live.add(Event.BATCH, 0.5)
        assert live.asked(*KNOWN) == ["running", 2, 0]
        live.add(Event.FINISHED, 0.0)
        assert live.asked(*KNOWN) == ["finished", 2, 0]

    @pytest.mark.parametrize("is_inside", [False, True])
    def test_one_that_is_to_stop_is_stopping_unless_it_is_inside_another(
        self, is_inside: bool
    ) -> None:
        live = Live()
        live.add(Event.BATCH, 0.5, is_inside=is_inside)
        live.status = ControlStatus.STOPPING
        expected = "running" if is_inside else "stopping"
        assert live.asked("status", "seconds_left")[0] == expected
        live.add(Event.STOPPED, 0.5, is_inside=is_inside)
        assert live.asked("status") == ["stopped"]

    def test_one_that_makes_no_batch_when_it_is_asked_is_not_said_to_make_so_many(self) -> None:
        live = Live()
        for _ in range(20):
            live.add(Event.BATCH, 0.5)
        told = []
        for _ in range(4):
            told.append(live.asked("batches_per_second", "silent"))
            live.now += 1
        assert told == [[2, 0], [2, 1], [None, 2], [None, 3]]
        assert live.asked("seconds_left", "status") == [None, "running"]
        live.add(Event.BATCH)  # an evaluation has come to its end
        assert live.asked("silent") == [0]

    def test_a_slow_one_is_given_the_time_that_it_takes(self) -> None:
        live = Live()
        for _ in range(3):
            live.add(Event.BATCH, 20.0)
        told = []
        for _ in range(4):
            told.append(live.asked("batches_per_second")[0])
            live.now += 25
        assert told == [1 / 20, 1 / 20, 1 / 20, None]

    def test_a_speed_of_long_ago_is_not_told_to_who_opens_the_page(self) -> None:
        live = Live()
        for _ in range(20):
            live.add(Event.BATCH, 0.5)
        live.now += 3600  # nobody has asked
        assert live.asked(*KNOWN, "seconds_left") == ["running", None, 0, None]
        live.add(Event.BATCH)
        assert live.asked("batches_per_second") != [None]

    def test_one_that_has_been_detached_is_not_said_to_go_on(self) -> None:
        live = Live()
        for _ in range(20):
            live.add(Event.BATCH, 0.5)
        live.track.leave()
        live.status, live.now = ControlStatus.PAUSED, live.now + 60  # of the others on the page
        assert [summary(live.track)[key] for key in KNOWN] == ["running", None, 60]


class TestWants:
    def test_after_the_first_hundred_it_wants_ten_a_second(self) -> None:
        now = 0.0
        track = RunModel("a", clock=lambda: now)
        wanted = []
        for i in range(1000):
            now = i / 256  # seconds
            if track.wants({"n_iters": i}):
                wanted.append(i)
                track.add(report(Event.BATCH, i))
        assert wanted[:101] == [*range(101)]
        assert {later - one for one, later in pairwise(wanted[101:])} == {26}

    def test_a_report_that_takes_long_is_made_less_often(self) -> None:
        clock = itertools.count(0.0, 0.125).__next__  # each look takes an eighth of a second
        track = RunModel("a", clock=clock)
        for i in range(101):
            track.add(report(Event.BATCH, i))
        n_looks = sum(not track.wants({"n_iters": 0}) for _ in range(1000))
        assert n_looks >= 98

    def test_when_a_page_asks_it_wants_the_next_batch_whichever_it_is(self) -> None:
        track = RunModel("a")
        told(track, report(Event.BATCH, 1, is_inside=True))
        assert not track.wants({"n_iters": 2})
        track.ask()
        assert track.wants({"n_iters": 2})
        track.add(report(Event.BATCH, 2, is_inside=True))
        assert not track.wants({"n_iters": 3})

    def test_what_a_page_asks_for_comes_also_before_its_time(self) -> None:
        track = RunModel("a", clock=lambda: 0.0)
        for i in range(102):
            track.add(report(Event.BATCH, i))
        assert not track.wants({"n_iters": 200})
        track.ask()
        assert track.wants({"n_iters": 200})


def test_events_are_told_but_not_the_batches_and_the_last_are_kept() -> None:
    track = RunModel("a")
    told(
        track,
        report(Event.STARTED, epoch=0),
        report(Event.BATCH, 1),
        report(Event.EPOCH_FINISHED, 3, max_epoch=2**60),
    )
    track.note("something")
    assert [text for *_, text in track.events] == [
        "STARTED · epoch 0 of 4, 0 batches",
        "EPOCH_FINISHED · epoch 1, 3 batches",
        "something",
    ]
    for i in range(1000):
        track.note(str(i))
    assert len(track.events) == 50
    assert track.n_events == 1003


def test_what_is_cleared_is_as_new_also_for_pages_that_have_seen_more() -> None:
    track = RunModel("a")
    told(track, *(report(Event.BATCH, i, metrics={"loss": 1}) for i in range(5)))
    page = Page(track).ask()
    track.clear()
    assert page.ask().knows() == Page(track).ask().knows()
    assert page.curves == {}
    assert page.run["status"] == "waiting"


@pytest.fixture
def often() -> Iterator[None]:
    """Have threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("small", "often")
def test_reports_come_from_one_thread_and_questions_from_another() -> None:
    track, together = RunModel("a"), threading.Barrier(2, timeout=60)
    page, ended = Page(track), threading.Event()

    def train() -> None:
        together.wait()
        for i in range(20_000):
            track.add(report(Event.BATCH, i % 97, metrics={f"loss {i % 3}": i}))
            if i % 10 == 0:
                track.add(report(Event.EPOCH_FINISHED, i % 97, metrics={"loss": i}))
        ended.set()

    training = threading.Thread(target=train)
    training.start()
    together.wait()
    while not ended.is_set():
        page.ask()
        for rows in page.curves.values():
            steps = [row[0] for row in rows]
            assert steps == sorted(set(steps))
            assert len(steps) <= 4
            assert all(row[1] <= row[3] <= row[2] for row in rows)
    training.join(60)
    assert page.ask().knows() == Page(track).ask().knows()


def test_names_without_end_do_not_fill_the_memory() -> None:
    track = RunModel("a")
    for i in range(3000):
        track.add(report(Event.BATCH, i, metrics={f"metric {i}": 1.0}))
    assert summary(track)["metrics"]["names"] == [f"metric {i}" for i in range(1000)]
    assert [text for *_, text in track.events] == [
        "more than 1000 metrics: further ones are left out"
    ]


def test_the_curve_of_epochs_is_not_of_the_stats_of_their_last_batch() -> None:
    track = RunModel("a")
    told(
        track,
        report(Event.STARTED, epoch=0),
        report(Event.BATCH, 1, metrics={"loss": 3.0, "rate": 0.1}),
        report(
            Event.EPOCH_FINISHED,
            1,
            metrics={"loss": 3.0, "mean": 2.0, "rate": 0.1},
            results=("mean", "rate"),
        ),
    )
    epochs = [name for of, name in Page(track).ask().curves if of == "epoch"]
    assert epochs == ["mean", "rate"]


def test_a_run_outside_of_the_training_does_not_touch_the_curve_of_those_inside() -> None:
    track = RunModel("validation")
    told(
        track,
        report(Event.STARTED, epoch=0, step=100, is_inside=True),
        report(Event.EPOCH_FINISHED, 5, metrics={"loss": 1.0}, step=100, is_inside=True),
        report(Event.STARTED, epoch=0),
        report(Event.BATCH, 1, metrics={"loss": 7.0}),
        report(Event.EPOCH_FINISHED, 5, metrics={"loss": 8.0}, step=5),
    )
    assert Page(track).ask().curves == {("epoch", "loss"): [(100, 1.0, 1.0, 1.0)]}
    assert latest(track) == {("epoch", "loss"): 8.0}


def test_one_that_is_seen_outside_first_begins_again_on_the_axis_of_the_run_around_it() -> None:
    track = RunModel("validation")
    told(track, report(Event.STARTED), report(Event.BATCH, 1, metrics={"loss": 7.0}))
    told(track, report(Event.STARTED, step=100, is_inside=True))
    assert Page(track).ask().curves == {}


def test_a_metric_of_epochs_goes_on_where_its_value_stays_in_the_stats() -> None:
    runner, track = Runner(), RunModel("a", control=Control())
    reports(runner, intervals=True).subscribe(track.add)
    stats: dict[str, Any] = {}

    @runner.on(Event.BATCH)
    def train(state: dict[str, Any]) -> None:
        stats["loss"] = 1.0
        state["stats"] = stats

    @runner.on(Event.EPOCH_FINISHED)
    def evaluate(state: dict[str, Any]) -> None:
        stats["accuracy"] = state["epoch"] / 10

    runner.run("ab", max_epoch=3)
    assert curve(track, "accuracy", "epoch") == [(2, 0.1), (4, 0.2), (6, 0.3)]
    assert latest(track)["epoch", "accuracy"] == 0.3


def test_a_value_that_is_read_at_reports_alone_is_read_at_the_end_too() -> None:
    runner, track = Runner(), RunModel("a", control=Control())
    on = Event.BATCH.first(2) | Event.FINISHED
    reports(runner, on=on, intervals=True).subscribe(track.add)

    class Tensor(SimpleNamespace):
        def __float__(self) -> float:
            return float(self.value)

    @runner.on(Event.BATCH)
    def train(state: dict[str, Any]) -> None:
        n = state["n_iters"]
        state["stats"] = {"loss": Tensor(value=n), "mixed": float(n) if n % 2 else Tensor(value=n)}

    runner.run(range(4))
    assert curve(track, "loss") == [(1, 1.0), (2, 2.0), (4, 4.0)]
    assert curve(track, "mixed") == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]


def test_the_first_steps_with_values_that_are_not_finite_are_told() -> None:
    track = RunModel("a")
    told(
        track,
        *(
            report(Event.BATCH, i, metrics={"x": math.inf if i % 7 == 0 else 1.0})
            for i in range(1, 3000)
        ),
    )
    head, _ = track.curve(0, 0, 0) or ({}, b"")
    assert head["bad"] == [*range(7, 701, 7)]
    told(track, report(Event.RESUMED, 20))
    head, _ = track.curve(0, 0, 0) or ({}, b"")
    assert head["bad"] == [7, 14]
