"""Scripts written for the published rnnr 0.4.0: same numbers, same log lines, same files.

Each scenario is such a script. It runs on both packages, and what it tells must be equal.
"""

import logging
import re
from collections.abc import Callable
from inspect import Parameter, signature
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import rnnr
import rnnr.attachments
import rnnr.callbacks
from helpers.published import published
from rnnr import State

Tell = Callable[..., None]
Scenario = Callable[[Any, Tell, Path], None]

SCENARIOS: list[Scenario] = []


def scenario(function: Scenario) -> Scenario:
    SCENARIOS.append(function)
    return function


@pytest.mark.parametrize("script", SCENARIOS, ids=lambda script: script.__name__)
def test_a_script_tells_the_same_on_both(
    script: Scenario, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def story(package: ModuleType) -> list[Any]:
        told: list[Any] = []
        folder = tmp_path / package.__version__
        folder.mkdir()
        caplog.clear()
        with caplog.at_level(logging.INFO):
            script(package, lambda *what: told.append(what), folder)
        logs = [
            (record.name, record.levelname, _timeless(record.getMessage(), folder))
            for record in caplog.records
        ]
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        return [told, logs, files]

    assert story(rnnr) == story(published())


@pytest.mark.parametrize(
    "path",
    [
        "Runner.on",
        "Runner.run",
        "Runner.resume",
        "callbacks.maybe_stop_early",
        "callbacks.checkpoint",
        "attachments.EpochTimer",
        "attachments.ProgressBar",
        "attachments.LambdaReducer",
        "attachments.SumReducer",
        "attachments.MeanReducer",
    ],
)
def test_arguments_and_defaults_are_the_same_beside_new_ones_that_have_a_default(path: str) -> None:
    def arguments(package: Any) -> list[tuple[str, object, object]]:
        parameters = signature(attrgetter(path)(package)).parameters.values()
        return [(one.name, one.kind, one.default) for one in parameters]

    ours, theirs = arguments(rnnr), arguments(published())
    assert [one for one in ours if one in theirs] == theirs
    for _, kind, default in [one for one in ours if one not in theirs]:
        assert kind is Parameter.KEYWORD_ONLY
        assert default is not Parameter.empty


def _timeless(message: str, folder: Path) -> str:
    return re.sub(r"\d:\d\d:\d\d(\.\d+)?$", "TIME", message.replace(str(folder), "FOLDER"))


@scenario
def every_event_in_order(rnnr: Any, tell: Tell, _: Path) -> None:
    runner = rnnr.Runner()
    for name in ("STARTED", "EPOCH_STARTED", "BATCH", "EPOCH_FINISHED", "FINISHED"):

        def callback(state: State, name: str = name) -> None:
            tell(name, state["epoch"], state["n_iters"], state.get("batch"), state["running"])

        runner.on(getattr(rnnr.Event, name), [callback, callback])
    runner.run(iter("ab"))
    runner.run("ab", max_epoch=3)
    runner.run([], max_epoch=2)
    runner.run("ab", max_epoch=0)
    tell(runner.state["running"], runner.state["max_epoch"])


@scenario
def stop_in_the_middle_and_resume(rnnr: Any, tell: Tell, _: Path) -> None:
    for repeat in (False, True):
        runner = rnnr.Runner()

        @runner.on(rnnr.Event.BATCH)
        def train(state: State) -> None:
            tell(state["epoch"], state["n_iters"], state["batch"])
            state["output"] = state["batch"]
            if state["n_iters"] == 2 and not state.get("stopped"):
                state["stopped"], state["running"] = True, False

        runner.on(rnnr.Event.BATCH, lambda _: tell("second callback"))
        rnnr.attachments.SumReducer("sum").attach_on(runner)
        rnnr.attachments.MeanReducer("mean").attach_on(runner)
        runner.on(
            rnnr.Event.EPOCH_FINISHED,
            lambda state: tell(state["sum"], state["mean"]),
        )
        runner.run([1, 2, 3], max_epoch=2)
        runner.resume(repeat_last_batch=repeat)
        runner.resume(repeat_last_batch=repeat)
        tell({key: runner.state[key] for key in ("sum", "mean", "n_iters", "epoch", "running")})


@scenario
def interrupted_and_resumed(rnnr: Any, tell: Tell, _: Path) -> None:
    runner = rnnr.Runner()

    @runner.on(rnnr.Event.BATCH)
    def train(state: State) -> None:
        tell(state["batch"])
        if state["n_iters"] == 2 and "interrupted" not in state:
            state["interrupted"] = True
            raise KeyboardInterrupt

    try:
        runner.run(range(4))
    except KeyboardInterrupt:
        tell("interrupted")
        runner.resume()


@scenario
def the_documented_early_stopping(rnnr: Any, tell: Tell, _: Path) -> None:
    trainer = rnnr.Runner()
    trainer.on(rnnr.Event.EPOCH_STARTED, lambda state: tell("Epoch", state["epoch"], "started"))

    @trainer.on(rnnr.Event.EPOCH_FINISHED)
    def evaluate(state: State) -> None:
        evaluator = rnnr.Runner()
        evaluator.on(rnnr.Event.BATCH, lambda state: state.update(output=state["batch"]))
        rnnr.attachments.MeanReducer(name="mean").attach_on(evaluator)
        evaluator.run([0.1, 0.2, 0.3])
        if state.get("best_loss", float("inf")) > evaluator.state["mean"]:
            state["better"] = True
            state["best_loss"] = evaluator.state["mean"]
        else:
            state["better"] = False

    trainer.on(rnnr.Event.EPOCH_FINISHED, rnnr.callbacks.maybe_stop_early(patience=2))
    trainer.on(rnnr.Event.EPOCH_FINISHED, lambda state: tell(state["_counter"], state["running"]))
    trainer.run(range(10), max_epoch=7)
    tell(trainer.state["best_loss"], trainer.state["epoch"])


@scenario
def callbacks_on_a_bare_dict(rnnr: Any, tell: Tell, folder: Path) -> None:
    stop = rnnr.callbacks.maybe_stop_early(patience=1, check="ok", counter="bad")
    state: State = {"running": True, "ok": False}
    for _ in range(3):
        stop(state)
        tell(state)
    save = rnnr.callbacks.save("model", under=folder, prefix_fmt="{tag}-", queue_fmt="kept {what}")
    state = {"running": True, "model": {"weights": [1, 2]}, "tag": "a"}
    save(state)
    tell([path.name for path in state["kept model"]])


@scenario
def checkpoints_of_the_newest_and_the_best(rnnr: Any, tell: Tell, folder: Path) -> None:
    runner = rnnr.Runner()
    finished = rnnr.Event.EPOCH_FINISHED

    @runner.on(finished)
    def check(state: State) -> None:
        state["better"] = state["epoch"] in (1, 2, 5)
        state["model"] = {"epoch": state["epoch"]}

    def write_text(obj: Any, path: Path) -> None:
        path.write_text(repr(obj))

    checkpoint = rnnr.callbacks.checkpoint
    runner.on(finished, checkpoint("model", under=folder, at_most=3))
    runner.on(finished, checkpoint("best", {"a": 1}, under=folder, when="better"))
    text = checkpoint(
        "text", 0.5, under=folder, using=write_text, ext="txt", prefix_fmt="{n_iters}."
    )
    runner.on(finished, text)
    runner.on(
        finished,
        lambda state: tell(*([path.name for path in state[f"_saved_{what}"]] for what in KINDS)),
    )
    runner.run(range(2), max_epoch=7)


KINDS = ("model", "best", "text")


@scenario
def timed_epochs(rnnr: Any, tell: Tell, _: Path) -> None:
    for max_epoch in (1, 2):
        runner = rnnr.Runner()
        runner.on(rnnr.Event.BATCH, lambda state: state.update(running=state["batch"] != 1))
        rnnr.attachments.EpochTimer().attach_on(runner)
        runner.run(range(3), max_epoch=max_epoch)
        runner.resume()
        runner.resume()
        tell(runner.state["epoch"])


@scenario
def a_bar_of_another_class(rnnr: Any, tell: Tell, _: Path) -> None:
    class Bar:
        def __init__(self, batches: Any, **kwargs: Any) -> None:
            tell("bar", batches, kwargs)

        def set_postfix(self, **stats: Any) -> None:
            tell("stats", stats)

        def update(self, n: int) -> None:
            tell("update", n)

        def close(self) -> None:
            tell("close")

    runner = rnnr.Runner()

    @runner.on(rnnr.Event.BATCH)
    def train(state: State) -> None:
        state["n_items"] = len(state["batch"])
        state["stats"] = {"loss": 1 / state["n_iters"]}
        if state["n_iters"] == 5:
            state["running"] = False

    bar = rnnr.attachments.ProgressBar(stats="stats", tqdm_cls=Bar, desc="training", leave=True)
    bar.attach_on(runner)
    runner.on(rnnr.Event.EPOCH_FINISHED, lambda _: tell("epoch finished"))
    runner.run(["a", "bc", ""], max_epoch=1)
    runner.run(["a", "bc", ""], max_epoch=1)


@scenario
def reductions_of_many_types(rnnr: Any, tell: Tell, _: Path) -> None:
    class Money:
        def __init__(self, amount: int) -> None:
            self.amount = amount

        def __add__(self, other: "Money") -> "Money":
            if not isinstance(other, Money):
                return NotImplemented
            return Money(self.amount + other.amount)

        def __truediv__(self, n: int) -> float:
            return self.amount / n

    def reduced(values: list[Any], *reducers: Any) -> list[Any]:
        runner = rnnr.Runner()
        runner.on(rnnr.Event.BATCH, lambda state: state.update(output=state["batch"]))
        for reducer in reducers:
            reducer.attach_on(runner)
        runner.run(values)
        return [runner.state[reducer.name] for reducer in reducers]

    part = rnnr.attachments
    tell(reduced([3, 4, 5], part.SumReducer("a"), part.MeanReducer("b")))
    tell(reduced(["x", "y"], part.SumReducer("a"), part.LambdaReducer("b", max)))
    tell(reduced([{"a": 1}, {"b": 2}], part.LambdaReducer("d", lambda x, y: {**x, **y})))
    tell(reduced([0, 0.0, False], part.SumReducer("a"), part.MeanReducer("b")))
    total, mean = reduced([Money(3), Money(5)], part.SumReducer("a"), part.MeanReducer("b"))
    tell(total.amount, mean)
    tell(reduced([7], part.LambdaReducer("one", lambda x, y: 1 / 0)))


@scenario
def attachments_do_not_care_when_they_are_attached(rnnr: Any, tell: Tell, _: Path) -> None:
    runner = rnnr.Runner()
    rnnr.attachments.MeanReducer("mean", value="loss", size="n").attach_on(runner)

    @runner.on(rnnr.Event.EPOCH_FINISHED)
    def show(state: State) -> None:
        tell(state["mean"])

    @runner.on(rnnr.Event.BATCH)
    def train(state: State) -> None:
        state["loss"], state["n"] = sum(state["batch"]), len(state["batch"])

    runner.run([[1, 2, 3], [4]], max_epoch=2)


@scenario
def an_attachment_of_the_script(rnnr: Any, tell: Tell, _: Path) -> None:
    class Counter(rnnr.attachments.Attachment):  # type: ignore[misc]
        def attach_on(self, runner: Any) -> None:
            runner.on(rnnr.Event.STARTED, lambda state: state.update(count=0))
            runner.on(rnnr.Event.BATCH, self._count)

        def _count(self, state: State) -> None:
            state["count"] += 1

    runner = rnnr.Runner()
    attached: Any = Counter()
    tell(attached.attach_on(runner))
    runner.run(range(5), max_epoch=2)
    tell(runner.state["count"])
    with pytest.raises(TypeError):
        rnnr.attachments.Attachment()


@scenario
def the_state_is_the_scripts_to_change(rnnr: Any, tell: Tell, _: Path) -> None:
    runner = rnnr.Runner()
    runner.state["seen"] = []
    runner.on(rnnr.Event.STARTED, lambda state: state.update(epoch=1, n_iters=10))

    @runner.on(rnnr.Event.EPOCH_STARTED)
    def shuffle(state: State) -> None:
        state["batches"] = [state["epoch"], -state["epoch"]]

    runner.on(rnnr.Event.BATCH, lambda state: state.update(batch=state["batch"] * 2))
    runner.on(rnnr.Event.BATCH, lambda state: state["seen"].append(state["batch"]))
    runner.on(rnnr.Event.EPOCH_FINISHED, lambda state: state.update(max_epoch=3))
    runner.run([], max_epoch=10)
    tell(runner.state["seen"], runner.state["epoch"], runner.state["n_iters"])


@scenario
def the_documented_checkpoints(rnnr: Any, tell: Tell, folder: Path) -> None:
    runner = rnnr.Runner()

    @runner.on(rnnr.Event.EPOCH_FINISHED)
    def store_checkpoint(state: State) -> None:
        state["model"], state["optimizer"] = "MODEL", "OPTIMIZER"

    checkpoint = rnnr.callbacks.checkpoint
    for what in ("model", "optimizer"):
        runner.on(rnnr.Event.EPOCH_FINISHED, checkpoint(what, under=folder, at_most=3))
    runner.run(range(3), max_epoch=7)
    tell(sorted(path.name for path in folder.glob("*.pkl")))


@scenario
def the_documented_reducers(rnnr: Any, tell: Tell, _: Path) -> None:
    runner = rnnr.Runner()
    rnnr.attachments.LambdaReducer("product", lambda x, y: x * y).attach_on(runner)
    rnnr.attachments.MeanReducer("mean").attach_on(runner)

    @runner.on(rnnr.Event.BATCH)
    def on_batch(state: State) -> None:
        state["output"] = state["batch"]

    runner.run([10, 20, 30])
    tell(runner.state["product"], runner.state["mean"])
