"""The reducers: any type, judged by `functools.reduce` and by fractions."""

import math
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial, reduce
from operator import add, or_
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnr
import rnnr.attachments
from helpers.extras import np, torch
from helpers.published import published
from rnnr import Event, Layer, Runner
from rnnr.attachments import Attachment, LambdaReducer, MeanReducer, SumReducer
from rnnr.state import RUN_KEYS, State, epoch_memory

OLD = published()
ANYTHING = st.none() | st.booleans() | st.integers() | st.text() | st.tuples(st.integers())
FRACTIONS = st.fractions(-100, 100, max_denominator=50)


@dataclass
class Euro:
    """Money, which adds up with money only."""

    cents: int

    def __add__(self, other: object) -> "Euro":
        if not isinstance(other, Euro):
            raise TypeError("euros and something else")
        return Euro(self.cents + other.cents)

    def __truediv__(self, n: int) -> "Euro":
        return Euro(self.cents // n)


def pair(one: object, other: object) -> tuple[object, object]:
    """Keep everything, and the order of it."""
    return one, other


def outputs(*reducers: Attachment) -> Runner:
    """Make a runner whose batches are the values that the reducers reduce."""
    runner = Runner()
    runner.on(Event.BATCH, lambda state: state.update(output=state["batch"]))
    for reducer in reducers:
        reducer.attach_on(runner)
    return runner


def reduced(values: list[Any], *reducers: Any) -> list[Any]:
    """Return the results of an epoch."""
    runner = outputs(*reducers)
    runner.run(values)
    return [runner.state[reducer.name] for reducer in reducers]


class TestTheResult:
    @given(st.lists(ANYTHING, min_size=1))
    def test_is_that_of_functools_reduce(self, values: list[Any]) -> None:
        assert reduced(values, LambdaReducer("all", pair)) == [reduce(pair, values)]

    @given(st.lists(FRACTIONS, min_size=1))
    def test_of_a_sum_is_that_of_sum(self, values: list[Fraction]) -> None:
        assert reduced(values, SumReducer("total")) == [sum(values)]

    @given(st.lists(st.tuples(FRACTIONS, st.integers(1, 50)), min_size=1))
    def test_of_a_mean_is_the_sum_of_the_values_by_that_of_the_sizes(
        self, batches: list[tuple[Fraction, int]]
    ) -> None:
        runner = Runner()

        @runner.on(Event.BATCH)
        def compute(state: State) -> None:
            state["v"], state["n"] = state["batch"]

        MeanReducer("mean", value="v", size="n").attach_on(runner)
        runner.run(batches)
        total = sum(value for value, _ in batches)
        assert runner.state["mean"] == total / sum(size for _, size in batches)

    @given(st.lists(st.floats(-1e9, 1e9), min_size=1))
    def test_of_a_mean_without_sizes_is_that_of_fmean(self, values: list[float]) -> None:
        scale = 1e-9 * max(map(abs, values))
        assert reduced(values, MeanReducer("mean")) == [pytest.approx(fmean(values), abs=scale)]

    @given(st.lists(st.lists(st.floats(-9, 9), min_size=1), max_size=3))
    def test_of_floats_is_that_of_the_published_ones_to_the_last_digit(
        self, epochs: list[list[float]]
    ) -> None:
        def story(package: Any, attachments: Any) -> list[object]:
            told: list[object] = []
            runner = package.Runner()

            @runner.on(package.Event.BATCH)  # type: ignore[untyped-decorator]
            def compute(state: State) -> None:
                state["output"] = state["batch"]
                state["size"] = state["n_iters"] % 3 + 1

            attachments.SumReducer("sum").attach_on(runner)
            attachments.MeanReducer("mean").attach_on(runner)
            attachments.LambdaReducer("least", min).attach_on(runner)
            runner.on(
                package.Event.EPOCH_FINISHED,
                lambda state: told.append([state[key] for key in ("sum", "mean", "least")]),
            )
            for batches in epochs:
                runner.run(batches, max_epoch=2)
            return told

        assert story(rnnr, rnnr.attachments) == story(OLD, OLD.attachments)

    @pytest.mark.parametrize(
        ("values", "reducer", "result"),
        [
            ([None, 1], LambdaReducer("x", pair), (None, 1)),
            ([0, 0, 3], SumReducer("x"), 3),
            ([Euro(1), Euro(3)], SumReducer("x"), Euro(4)),
            ([Euro(1), Euro(3)], MeanReducer("x"), Euro(2)),
            ([{"a": 1}, {"b": 2}], LambdaReducer("x", or_), {"a": 1, "b": 2}),
            (["to", "be"], SumReducer("x"), "tobe"),
            (["only one"], LambdaReducer("x", lambda *_: 1 / 0), "only one"),
        ],
    )
    def test_may_be_of_any_type(self, values: list[Any], reducer: Any, result: object) -> None:
        assert reduced(values, reducer) == [result]

    @pytest.mark.parametrize(
        "array", [np.array, torch.tensor, lambda numbers: np.array(numbers, dtype=np.int8)]
    )
    def test_of_arrays_and_tensors_leaves_them_alone(
        self, array: Callable[[list[int]], Any]
    ) -> None:
        values = [array([1, 2]), array([3, 4])]
        total, mean = reduced(values, SumReducer("total"), MeanReducer("mean"))
        assert (total.tolist(), mean.tolist()) == ([4, 6], [2, 3])
        assert [value.tolist() for value in values] == [[1, 2], [3, 4]]

    def test_keeps_the_gradient_of_a_tensor(self) -> None:
        weight = torch.tensor(2.0, requires_grad=True)
        (total,) = reduced([weight * 3, weight * 5], LambdaReducer("total", add))
        total.backward()
        assert weight.grad == 8

    def test_of_a_built_in_one_keeps_no_graph(self) -> None:
        weight = torch.tensor(2.0, requires_grad=True)
        results = reduced([weight * 3, weight * 5], SumReducer("sum"), MeanReducer("mean"))
        assert results == [16, 8]
        assert not any(result.requires_grad for result in results)

    @pytest.mark.parametrize("kind", [np.array, torch.tensor, list])
    def test_is_right_where_the_step_fills_one_buffer_again(self, kind: Any) -> None:
        buffer = kind([0])
        runner = Runner()

        @runner.on(Event.BATCH)
        def fill(state: State) -> None:
            buffer[0] = state["batch"]
            state["output"] = state["size"] = buffer

        LambdaReducer("all", add).attach_on(runner)
        LambdaReducer("largest", max).attach_on(runner)
        SumReducer("sum").attach_on(runner)
        runner.run([1, 10, 100])
        runner.run([100, 10, 1])
        assert runner.state["largest"][0] == 100
        expected = [100, 10, 1] if kind is list else [111]
        assert [*runner.state["sum"]] == [*runner.state["all"]] == expected

    def test_counts_booleans_whatever_their_type_as_values_and_as_sizes(self) -> None:
        def compute(kind: Any, state: State) -> None:
            state.update(output=kind(state["batch"] < 7), one=kind(True))

        for kind in (bool, np.bool_, torch.tensor):
            runner = Runner()
            runner.on(Event.BATCH, partial(compute, kind))
            MeanReducer("accuracy", size="one").attach_on(runner)
            SumReducer("n_right").attach_on(runner)
            runner.run(range(10))
            assert float(runner.state["accuracy"]) == pytest.approx(0.7, abs=1e-15)
            assert runner.state["n_right"] == 7

    def test_of_half_precision_is_that_of_double(self) -> None:
        for kind in (np.float16, torch.tensor([1.0]).half().mul):
            results = reduced([kind(1)] * 3000, SumReducer("sum"), MeanReducer("mean"))
            assert results == [3000, 1]

    @pytest.mark.parametrize("values", [[np.float32(1), 2.0], [2.0, np.float32(1)], [1, 2.0]])
    def test_may_be_of_several_kinds_of_numbers(self, values: list[Any]) -> None:
        assert reduced(values, MeanReducer("mean")) == [1.5]

    def test_is_not_a_number_where_the_sizes_sum_to_zero(self) -> None:
        runner = Runner()
        MeanReducer("loss").attach_on(runner)
        runner.on(Event.BATCH, lambda state: state.update(output=0.0, size=0))
        runner.run(range(3))
        assert math.isnan(runner.state["loss"])

    @pytest.mark.parametrize("reducer", [SumReducer("x"), MeanReducer("x")], ids=type)
    def test_of_what_cannot_be_added_is_an_error_at_the_first_batch(self, reducer: Any) -> None:
        runner = outputs(reducer)
        name = type(reducer).__name__
        with pytest.raises(TypeError, match=f"a value for {name}..x.. must be .*, got None"):
            runner.run([None, None])
        assert runner.state["n_iters"] == 1

    @pytest.mark.parametrize(
        "reducer", [LambdaReducer("x", add), SumReducer("x"), MeanReducer("x")], ids=type
    )
    def test_of_an_epoch_without_batches_is_none_and_nothing_stale(self, reducer: Any) -> None:
        results: list[object] = []
        epochs: Iterator[list[int]] = iter([[], [1, 2], []])
        runner = outputs(reducer)
        runner.on(Event.EPOCH_FINISHED, lambda state: results.append(state["x"]))
        runner.on(Event.EPOCH_STARTED, lambda state: state.update(batches=next(epochs)))
        runner.run([], max_epoch=3)
        assert results[0] is results[2] is None
        assert results[1] in (3, 1.5)

    def test_is_that_of_each_epoch_and_is_there_for_every_epoch_finished_callback(self) -> None:
        totals: list[object] = []
        runner = Runner()
        runner.on(Event.EPOCH_FINISHED, lambda state: totals.append(state["total"]))
        SumReducer("total").attach_on(runner)
        runner.on(Event.BATCH, lambda state: state.update(output=state["batch"] * state["epoch"]))
        runner.run([1, 2], max_epoch=3)
        assert totals == [3, 6, 9]

    def test_is_computed_before_anything_is_displayed(self) -> None:
        story: list[str] = []
        runner = outputs()
        runner.stream(Event.BATCH).add(lambda _: story.append("shown"), layer=Layer.DISPLAY)
        LambdaReducer("last", lambda *_: story.append("reduced")).attach_on(runner)
        runner.run([1, 2])
        assert story == ["shown", "reduced", "shown"]  # the first value is taken as it is

    def test_is_all_that_is_left_when_the_epoch_is_finished(self) -> None:
        runner = outputs(SumReducer("total"), MeanReducer("mean"))
        runner.run([1, 2])
        remembered = " ".join(epoch_memory(runner.state))
        assert "total" not in remembered
        assert "mean" not in remembered

    def test_takes_the_value_from_the_key_that_is_given(self) -> None:
        runner = outputs(SumReducer("total", value="batch"), LambdaReducer("top", max, value="n"))
        runner.state.update(n=7)
        runner.run([1, 2])
        assert (runner.state["total"], runner.state["top"]) == (3, 7)

    def test_of_one_reducer_on_two_runners_one_inside_the_other_is_for_each(self) -> None:
        total = SumReducer("total")
        evaluator, trainer = outputs(total), outputs(total)
        trainer.on(Event.BATCH, lambda _: evaluator.run([10, 20]))
        trainer.run([1, 2])
        assert (trainer.state["total"], evaluator.state["total"]) == (3, 30)

    def test_is_left_as_it_is_once_the_reducer_is_detached(self) -> None:
        runner = outputs()
        attached = SumReducer("total").attach_on(runner)
        runner.run([1, 2])
        attached.dispose()
        runner.run([5])
        assert runner.state["total"] == 3


@st.composite
def stops(draw: st.DrawFn) -> tuple[list[list[int]], set[int]]:
    """Draw the batches and the iterations that are stopped at."""
    batches = draw(st.lists(st.lists(st.integers()), max_size=6))
    return batches, draw(st.sets(st.integers(1, max(1, 2 * len(batches)))))


class TestAfterAStop:
    @given(stops(), st.booleans())
    def test_the_result_is_that_of_the_uninterrupted_run(
        self, plan: tuple[list[list[int]], set[int]], in_another_process: bool
    ) -> None:
        batches, stop_at = plan
        runner = self.stopping_at(set())
        runner.run(batches, max_epoch=2)
        expected = runner.state["told"]

        runner = self.stopping_at(stop_at)
        runner.run(batches, max_epoch=2)
        while runner.state["n_iters"] < 2 * len(batches) or len(runner.state["told"]) < 2:
            if in_another_process:
                state = pickle.loads(pickle.dumps(runner.state))
                runner = self.stopping_at(stop_at)
                runner.state = state
            runner.resume(repeat_last_batch=True)
        assert runner.state["told"] == expected

    @given(stops())
    def test_a_batch_that_stopped_the_run_is_in_no_result_unless_it_is_repeated(
        self, plan: tuple[list[list[int]], set[int]]
    ) -> None:
        batches, stop_at = plan
        runner = self.stopping_at(stop_at)
        runner.run(batches)
        while not runner.state["told"]:
            runner.resume()
        seen = [batch for i, batch in enumerate(batches, start=1) if i not in stop_at]
        ((total, mean, _),) = runner.state["told"]
        assert total == (reduce(add, seen) if seen else None)
        assert mean == (len(total) / len(seen) if seen else None)

    @staticmethod
    def stopping_at(stop_at: set[int]) -> Runner:
        """Make a runner that stops once at each of some iterations."""
        runner = Runner()
        runner.state.update(told=[], stopped=set())

        @runner.on(Event.BATCH)
        def train(state: State) -> None:
            state.update(output=state["batch"], length=len(state["batch"]))
            if state["n_iters"] in stop_at - state["stopped"]:
                state["stopped"].add(state["n_iters"])
                state["running"] = False

        SumReducer("total").attach_on(runner)
        MeanReducer("mean", value="length").attach_on(runner)
        LambdaReducer("all", pair).attach_on(runner)

        @runner.on(Event.EPOCH_FINISHED)
        def tell(state: State) -> None:
            state["told"].append((state["total"], state["mean"], state["all"]))

        return runner

    def test_a_fresh_run_starts_from_nothing(self) -> None:
        runner = outputs(SumReducer("total"), MeanReducer("mean"))
        runner.stream(Event.BATCH).subscribe(
            lambda state: state.update(running=state["batch"] != 100)
        )
        runner.run([10, 100])
        runner.run([1, 2])
        assert (runner.state["total"], runner.state["mean"]) == (3, 1.5)


class TestAnError:
    def test_in_the_function_leaves_as_itself_and_the_next_run_counts_right(self) -> None:
        error = ArithmeticError("odd one out")

        def join(one: int, other: int) -> int:
            if other == 13:
                raise error
            return one + other

        runner = outputs(LambdaReducer("total", join))
        with pytest.raises(ArithmeticError) as caught:
            runner.run([1, 13, 2])
        assert caught.value is error
        runner.run([1, 2])
        assert runner.state["total"] == 3

    def test_in_the_function_leaves_the_batch_out_where_the_run_is_resumed(self) -> None:
        runner = outputs(LambdaReducer("total", lambda one, other: one + 6 // other))
        with pytest.raises(ZeroDivisionError):
            runner.run([1, 0, 2])
        runner.resume()
        assert runner.state["total"] == 4

    @pytest.mark.parametrize(
        ("reducer", "part"),
        [
            (SumReducer("total"), r"SumReducer\('total'\)"),
            (MeanReducer("mean"), r"MeanReducer\('mean'\)"),
            (LambdaReducer("top", max), r"LambdaReducer\('top'\)"),
        ],
    )
    def test_of_a_missing_value_names_it_with_the_reducer_and_the_cure(
        self, reducer: Attachment, part: str
    ) -> None:
        runner = Runner()
        reducer.attach_on(runner)
        expected = (
            rf"state\['output'\] is missing: {part} reads it, the state has .*batch.*; "
            r"set state\['output'\] in a BATCH callback"
        )
        with pytest.raises(KeyError, match=expected):
            runner.run([1])


class TestTwoOfOneName:
    def test_are_refused_where_the_second_is_attached_and_the_first_goes_on(self) -> None:
        runner = outputs(SumReducer("x"))
        expected = (
            r"name must be a key that no other .* writes, got 'x' .*; SumReducer\('x'\) writes"
        )
        with pytest.raises(ValueError, match=expected):
            LambdaReducer("x", max).attach_on(runner)
        runner.run([1, 2, 3], max_epoch=2)
        assert runner.state["x"] == 6

    @pytest.mark.parametrize("name", sorted({*RUN_KEYS} - {"error"}))
    def test_a_key_of_the_run_is_refused_as_a_name_when_given(self, name: str) -> None:
        for make in (SumReducer, MeanReducer, lambda name: LambdaReducer(name, max)):
            with pytest.raises(ValueError, match=f"name must be a key of its own, got '{name}'"):
                make(name)

    def test_the_key_of_the_sizes_is_refused_as_a_name(self) -> None:
        with pytest.raises(ValueError, match="name must be a key of its own, got 'size'"):
            MeanReducer("size")

    def test_an_error_rate_may_be_called_error(self) -> None:
        runner = outputs(MeanReducer("error"))
        runner.run([1, 0])
        assert runner.state["error"] == 0.5

    def test_are_no_two_on_two_runners(self) -> None:
        total = SumReducer("x")
        for runner in (outputs(total), outputs(total)):
            runner.run([1, 2])
            assert runner.state["x"] == 3

    def test_are_no_two_where_the_first_is_detached(self) -> None:
        runner = outputs()
        for _ in range(3):
            SumReducer("x").attach_on(runner).dispose()
        SumReducer("x").attach_on(runner)
        runner.run([1, 2])
        assert runner.state["x"] == 3

    def test_are_one_where_another_kind_takes_over_in_the_middle_of_an_epoch(self) -> None:
        runner = outputs()
        attached = MeanReducer("x").attach_on(runner)
        runner.on(Event.BATCH, lambda state: state.update(running=state["batch"] != 2))
        runner.run([1, 2, 3, 4])
        attached.dispose()
        SumReducer("x").attach_on(runner)
        runner.resume()
        assert runner.state["x"] == 7  # what it has seen


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: LambdaReducer(1, max), "name must be a string, got 1"),  # type: ignore[arg-type]
        (lambda: SumReducer(None), "name must be a string, got None"),  # type: ignore[arg-type]
        (lambda: MeanReducer(b"x"), "name must be a string, got b'x'"),  # type: ignore[arg-type]
        (lambda: MeanReducer("x", size=1), "size must be a string, got 1"),  # type: ignore[arg-type]
        (lambda: SumReducer("x", value=1), r"SumReducer\('x'\) must be a string, got 1"),  # type: ignore[arg-type]
        (lambda: LambdaReducer("x", "max"), "reduce_fn must be callable, got 'max'"),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments_are_refused_when_given(make: Callable[[], object], expected: str) -> None:
    with pytest.raises(TypeError, match=expected):
        make()


def test_a_value_that_only_some_batches_have_is_named_in_a_later_batch_too() -> None:
    runner = Runner()

    @runner.on(Event.BATCH)
    def compute(state: State) -> None:
        state.pop("output", None)
        if state["batch"]:
            state["output"] = 1.0

    MeanReducer("mean").attach_on(runner)
    with pytest.raises(KeyError, match=r"state\['output'\] is missing: MeanReducer\('mean'\)"):
        runner.run([1, 0])
