"""`pipeline` makes a callback of operators; and what an error does to any of them."""

import threading
import traceback
from collections import defaultdict
from collections.abc import Callable
from copy import copy, deepcopy
from operator import add
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given
from hypothesis import strategies as st
from reactivex import operators as ops

from rnnr import Event, RnnrWarning, Runner
from rnnr.callbacks import early_stopping
from rnnr.operators import (
    Operator,
    Pipeline,
    all_but_newest,
    delete_files,
    do,
    every,
    fold,
    pipeline,
    save_file,
    select,
    stop,
    when,
)
from rnnr.state import State

# Every operator of the package, passing states on whose batch is true.
OPERATORS: dict[str, Callable[[], Operator]] = {
    "fold": lambda: fold("total", add, value="batch"),
    "pipeline": lambda: pipeline(when("batch")),
    "select": lambda: select("batch"),
    "stop": stop,
    "when": lambda: when("batch"),
}

# Errors that Python or ReactiveX treats specially, and one that neither does.
ERRORS = [ValueError, StopIteration, KeyboardInterrupt, SystemExit, GeneratorExit]

# Where a function of the user may fail inside a pipeline.
PLACES: dict[str, Callable[[Callable[[Any], Any]], Operator]] = {
    "do_action": ops.do_action,
    "filter": ops.filter,
    "map": ops.map,
    "fold, value": lambda function: fold("last", lambda _, value: value, value=function),
    "fold, function": lambda function: fold(
        "last", lambda _, value: function({"batch": value}), value="batch", initial=None
    ),
}

each_operator = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
each_error = pytest.mark.parametrize("kind", ERRORS)
each_place = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)


def fails_at(batch: int, error: BaseException) -> Callable[[Any], Any]:
    """Make a function that fails for one batch."""

    def function(state: Any) -> Any:
        if state["batch"] == batch:
            raise error
        return state

    return function


class TestAPipeline:
    def test_is_called_with_a_state_that_no_runner_made(self) -> None:
        seen: list[object] = []
        report = pipeline(select("loss"), ops.do_action(seen.append))
        report({"loss": 0.5})
        assert seen == [0.5]

    def test_listens_to_an_event_until_it_is_disposed(self) -> None:
        seen: list[object] = []
        runner = Runner()
        listening = runner.on(Event.BATCH, pipeline(select("batch"), ops.do_action(seen.append)))
        runner.run([1, 2])
        listening.dispose()
        runner.run([3])
        assert seen == [1, 2]

    def test_is_an_operator_itself(self) -> None:
        seen: list[object] = []
        runner = Runner()
        large = pipeline(ops.filter(lambda state: state["batch"] > 1), select("batch"))
        runner.stream(Event.BATCH).pipe(large, ops.map(str)).subscribe(seen.append)
        runner.run([1, 2, 3])
        assert seen == ["2", "3"]

    def test_of_pipelines_is_one(self) -> None:
        seen: list[object] = []
        inner = pipeline(pipeline(select("loss")), ops.map(str))
        pipeline(inner, ops.do_action(seen.append))({"loss": 1})
        assert seen == ["1"]

    def test_of_nothing_does_nothing(self) -> None:
        state: State = {"loss": 1}
        pipeline()(state)
        assert state == {"loss": 1}

    @given(st.lists(st.integers(0, 5)), st.integers(0, 5), st.integers(0, 5))
    def test_called_for_each_state_does_what_its_operators_do_to_a_stream(
        self, batches: list[int], skipped: int, taken: int
    ) -> None:
        operators: list[Operator] = [
            ops.filter(lambda state: state["batch"] % 2 == 0),
            select("batch"),
            ops.skip(skipped),
            ops.take(taken),
            ops.pairwise(),
        ]
        seen: list[object] = []
        callback = pipeline(*operators, ops.do_action(seen.append))
        for batch in batches:
            callback({"batch": batch})
        expected: list[object] = []
        states: rx.Observable[Any] = rx.from_iterable({"batch": batch} for batch in batches)
        states.pipe(*operators).subscribe(expected.append)
        assert seen == expected

    def test_takes_its_two_and_is_complete_for_good(self) -> None:
        seen: list[object] = []
        runner = Runner()
        runner.on(Event.BATCH, pipeline(select("batch"), ops.take(2), ops.do_action(seen.append)))
        runner.run([1, 2, 3])
        runner.run([4])
        assert seen == [1, 2]

    def test_that_takes_nothing_is_complete_at_once(self) -> None:
        seen: list[object] = []
        callback = pipeline(ops.take(0), ops.do_action(seen.append))
        callback({})
        callback({})
        assert seen == []

    def test_serves_two_runners_one_inside_the_other(self) -> None:
        seen: list[object] = []
        report = pipeline(select("batch"), ops.do_action(seen.append))
        trainer, evaluator = Runner(), Runner()
        trainer.on(Event.BATCH, [lambda _: evaluator.run("ab"), report])
        evaluator.on(Event.BATCH, report)
        trainer.run([1, 2])
        assert seen == ["a", "b", 1, "a", "b", 2]

    def test_may_be_called_from_within_itself(self) -> None:
        seen: list[object] = []

        def evaluate(depth: int) -> None:
            seen.append(depth)
            if depth:
                report({"depth": depth - 1})

        report = pipeline(select("depth"), ops.do_action(evaluate))
        report({"depth": 2})
        report({"depth": 1})
        assert seen == [2, 1, 0, 1, 0]

    def test_that_fails_within_itself_hides_no_error(self) -> None:
        def evaluate(state: State) -> None:
            if state["batch"] == "inner":
                raise ValueError("the inner one")
            with pytest.raises(ValueError, match="the inner one"):
                report({"batch": "inner"})
            if state["batch"] == "bad":
                raise ValueError("the outer one")

        seen: list[object] = []
        report = pipeline(ops.do_action(evaluate), select("batch"), ops.do_action(seen.append))
        report({"batch": "good"})
        with pytest.raises(ValueError, match="the outer one"):
            report({"batch": "bad"})
        report({"batch": "good again"})
        assert seen == ["good", "good again"]

    def test_that_fails_in_one_thread_goes_on_in_another(self) -> None:
        under_way, failed = threading.Event(), threading.Event()
        seen: list[object] = []

        def save(state: State) -> None:
            if state["batch"] == "waits":
                under_way.set()
                assert failed.wait(timeout=60)
            else:
                raise OSError("disk full")

        report = pipeline(ops.do_action(save), select("batch"), ops.do_action(seen.append))
        thread = threading.Thread(target=report, args=[{"batch": "waits"}])
        thread.start()
        assert under_way.wait(timeout=60)
        with pytest.raises(OSError, match="disk full"):
            report({"batch": "fails"})
        failed.set()
        thread.join()
        assert seen == ["waits"]

    @pytest.mark.parametrize(
        "operator",
        [
            lambda source: rx.merge(source, source),
            lambda source: source.pipe(ops.zip(source.pipe(ops.skip(1)))),
            lambda source: source.pipe(ops.with_latest_from(source)),
        ],
    )
    def test_may_use_its_source_more_than_once(self, operator: Operator) -> None:
        runner = Runner()
        in_a_pipeline, in_a_stream = list[object](), list[object]()
        runner.on(Event.BATCH, pipeline(operator, ops.do_action(in_a_pipeline.append)))
        runner.stream(Event.BATCH).pipe(operator).subscribe(in_a_stream.append)
        runner.run([1, 2, 3, 4])
        assert len(in_a_pipeline) == len(in_a_stream) > 0

    def test_loses_no_state_where_the_run_is_itself_a_subscriber(self) -> None:
        # There ReactiveX puts subscriptions off until the run is over.
        seen: list[object] = []
        runner = Runner()
        runner.on(
            Event.BATCH,
            pipeline(select("batch"), ops.start_with("first"), ops.do_action(seen.append)),
        )
        with pytest.warns(RnnrWarning, match="inside a ReactiveX subscription"):
            rx.of([1, 2, 3]).subscribe(runner.run)
        assert seen == ["first", 1, 2, 3]

    @pytest.mark.parametrize("wrong", [None, "better", 3])
    def test_of_something_else_is_refused_when_made(self, wrong: Any) -> None:
        expected = rf"operators\[1\] must be an operator, got {wrong!r} .*pass for example when"
        with pytest.raises(TypeError, match=expected):
            pipeline(when("better"), wrong)

    @pytest.mark.parametrize(
        ("wrong", "expected"),
        [
            (when, r"operators\[0\] must be an operator, got .*; call it: write when\(\.\.\.\)"),
            ([stop()], r"operators\[0\] must be an operator, got .*; write pipeline\(\*operators"),
        ],
    )
    def test_of_an_operator_that_is_no_operator_yet_is_refused_with_the_cure(
        self, wrong: Any, expected: str
    ) -> None:
        with pytest.raises(TypeError, match=expected):
            pipeline(wrong)

    def test_of_a_plain_function_is_refused_with_the_cure_when_it_is_called(self) -> None:
        def view(_: object) -> None:
            """Do something with a state, and not with a stream."""

        expected = (
            r"what .*view returns must be an Observable, got None .*; to call .* do\(function"
        )
        with pytest.raises(TypeError, match=expected):
            pipeline(view)({"loss": 1})  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("operator", "expected"),
        [
            (stop(), r"what comes to stop\(\) must be a state, got 1 "),
            (fold("total", add, value="x"), r"what comes to fold\('total'\) must be a state"),
            (
                fold("total", add, value="x", per_epoch=True),
                r"what comes to fold\('total'\) must be a state",
            ),
            (save_file("x"), r"what comes to save_file\('x'\) must be a state"),
            (all_but_newest(2), r"what comes to all_but_newest\(2\) must be files, got 1 "),
            (
                delete_files(),
                r"what comes to delete_files\(\) must be files, got 1 .*; put save_file",
            ),
        ],
        ids=repr,
    )
    def test_in_a_wrong_order_names_what_comes_and_the_cure(
        self, operator: Operator, expected: str
    ) -> None:
        with pytest.raises(TypeError, match=expected):
            pipeline(select("loss"), operator)({"loss": 1})


class TestAnErrorInAPipeline:
    @each_place
    @each_error
    def test_leaves_as_itself_and_the_next_state_is_taken(
        self, place: Callable[..., Operator], kind: type[BaseException]
    ) -> None:
        error = kind("a reason")
        seen: list[object] = []
        callback = pipeline(
            place(fails_at(2, error)), ops.do_action(lambda state: seen.append(state["batch"]))
        )
        callback({"batch": 1})
        with pytest.raises(kind) as caught:
            callback({"batch": 2})
        assert caught.value is error
        assert traceback.extract_tb(caught.tb)[-1].name == "function"
        callback({"batch": 3})
        assert seen == [1, 3]

    @each_place
    @each_error
    def test_leaves_the_run_as_itself_and_the_next_run_is_heard(
        self, place: Callable[..., Operator], kind: type[BaseException]
    ) -> None:
        error = kind("a reason")
        seen: list[object] = []
        runner = Runner()
        runner.on(
            Event.BATCH,
            pipeline(
                place(fails_at(2, error)), ops.do_action(lambda state: seen.append(state["batch"]))
            ),
        )
        with pytest.raises(kind) as caught:
            runner.run([1, 2, 3])
        assert caught.value is error
        runner.resume()
        runner.run([4, 5])
        assert seen == [1, 3, 4, 5]

    def test_does_not_count_among_what_is_taken(self) -> None:
        seen: list[object] = []
        callback = pipeline(
            ops.do_action(fails_at(1, ValueError())), ops.take(1), ops.do_action(seen.append)
        )
        with pytest.raises(ValueError, match=r"^$"):
            callback({"batch": 1})
        callback({"batch": 2})
        callback({"batch": 3})
        assert seen == [{"batch": 2}]

    @pytest.mark.parametrize("recover", [ops.retry(), ops.catch(lambda _, source: source)])
    def test_may_be_recovered_from_in_the_pipeline_itself(self, recover: Operator) -> None:
        seen: list[object] = []
        fail = ops.do_action(fails_at(2, ValueError()))
        callback = pipeline(
            fail, recover, select("batch"), ops.pairwise(), ops.do_action(seen.append)
        )
        for batch in (1, 2, 3, 4):
            callback({"batch": batch})
        assert seen == [(1, 3), (3, 4)]


class TestAnErrorInAPipeOfTheUser:
    """The rules are those of ReactiveX there: a subscriber lives on, an operator does not."""

    @each_operator
    @each_error
    def test_by_a_subscriber_leaves_the_run_as_itself_and_the_subscription_stays(
        self, operator: Callable[[], Operator], kind: type[BaseException]
    ) -> None:
        error = kind("a reason")
        story: list[object] = []

        def subscriber(_: object) -> None:
            story.append(runner.state["batch"])
            if runner.state["batch"] == 2:
                raise error

        runner = Runner()
        runner.stream(Event.BATCH).pipe(operator()).subscribe(subscriber)
        with pytest.raises(kind) as caught:
            run_to_the_end(runner, [1, 2, 3])
        assert caught.value is error
        runner.resume()
        assert story == [1, 2, 3]

    @each_place
    def test_by_an_operator_leaves_the_run_as_itself_and_ends_that_pipe_alone(
        self, place: Callable[..., Operator]
    ) -> None:
        error = ValueError("a reason")
        story: list[object] = []
        runner = Runner()
        runner.stream(Event.BATCH).pipe(place(fails_at(2, error))).subscribe(
            lambda _: story.append(("piped", runner.state["batch"]))
        )
        runner.on(Event.BATCH, lambda state: story.append(state["batch"]))
        with pytest.raises(ValueError, match="a reason") as caught:
            runner.run([1, 2, 3])
        assert caught.value is error
        runner.resume()
        assert story == [("piped", 1), 1, 3]

    def test_by_an_operator_goes_to_who_asked_for_it_and_the_run_goes_on(self) -> None:
        story: list[object] = []
        runner = Runner()
        runner.stream(Event.BATCH).pipe(when("flag")).subscribe(
            story.append, on_error=lambda error: story.append(type(error))
        )
        runner.on(Event.BATCH, lambda state: story.append(state["batch"]))
        runner.run([1, 2])
        assert story == [KeyError, 1, 2]


def run_to_the_end(runner: Runner, batches: list[int]) -> None:
    """Run, and go on after every stop."""
    runner.run(batches)
    while runner.state["n_iters"] < len(batches):
        runner.resume()


def test_a_pipeline_is_what_the_factories_of_callbacks_return() -> None:
    assert isinstance(pipeline(), Pipeline)


def test_a_copy_has_subscriptions_of_its_own() -> None:
    seen: list[int] = []
    original = pipeline(ops.do_action(lambda state: seen.append(state["n"])))
    original({"running": True, "n": 1})
    copied = copy(original)
    copied({"running": True, "n": 2})
    assert copied.__qualname__ == original.__qualname__
    del copied
    original({"running": True, "n": 3})
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("copied", [copy, deepcopy])
@pytest.mark.parametrize("operator", [ops.take(1), every(2), pipeline(ops.take(1))])
def test_a_copy_remembers_for_itself(copied: Callable[[Any], Any], operator: Operator) -> None:
    seen: list[int] = []
    original = pipeline(select("n"), operator, do(seen.append))
    original({"n": 1})
    twin = copied(original)
    before = [*seen]
    for n in (3, 4):
        twin({"n": n})
    fresh: list[int] = []
    expected = pipeline(select("n"), operator, do(fresh.append))
    for n in (3, 4):
        expected({"n": n})
    assert seen[len(before) :] == fresh


def test_an_error_while_keys_are_reserved_frees_those_before() -> None:
    runner = Runner()
    total = pipeline(fold("total", add, value="batch"))
    wrong = early_stopping("loss", restore="weights")
    with pytest.raises(TypeError, match="attach_on"):
        runner.on(Event.BATCH, [total, wrong])
    runner.on(Event.BATCH, pipeline(fold("total", add, value="batch")))


def test_a_fold_does_not_take_what_a_state_makes_up_for_its_first_value() -> None:
    state: State = defaultdict(lambda: 100, batch=1)
    pipeline(fold("total", add, value="batch"))(state)
    assert state["total"] == 1


@pytest.mark.parametrize("operator", [every(2), ops.pairwise(), ops.take(1)])
def test_one_pipeline_on_two_runners_remembers_for_each(operator: Operator) -> None:
    def told(*pipelines: Pipeline[State, Any]) -> list[list[int]]:
        stories = []
        for one in pipelines:
            runner = Runner()
            seen.clear()
            runner.on(Event.BATCH, one)
            runner.run([1, 2, 3])
            stories.append([*seen])
        return stories

    seen: list[int] = []
    made = [pipeline(select("batch"), operator, do(seen.append)) for _ in range(2)]
    assert told(made[0], made[0]) == told(*made)
