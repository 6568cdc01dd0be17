"""`evaluate`: whose results come where, in which mode models are, and what is left after an end."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.extras import torch
from helpers.faults import Boom, interrupt_at_call, raise_
from helpers.memory import without_collector
from rnnr import Event, Runner, State, isolate
from rnnr.attachments import LambdaReducer, MeanReducer, SumReducer
from rnnr.callbacks import checkpoint, early_stopping, evaluate
from rnnr.durable import Job, Snapshots, resumes_exactly
from rnnr.operators import pipeline, stop, when
from rnnr.reporting import Report, reports
from rnnr.state import RESULTS, epoch_memory

AT_THE_END = Event.EPOCH_FINISHED


def summing(name: str = "total") -> Runner:
    """Make an evaluator that sums its batches."""
    evaluator = Runner()
    SumReducer(name, value="batch").attach_on(evaluator)
    return evaluator


class TestResults:
    def test_come_into_the_state_of_the_training_after_each_evaluation(self) -> None:
        trainer, evaluator, seen = Runner(), summing(), []
        LambdaReducer("worst", max, value="batch").attach_on(evaluator)
        trainer.on(AT_THE_END, evaluate(evaluator, [1, 2], prefix="valid_"))
        keys = ("epoch", "valid_total", "valid_worst")
        trainer.on(AT_THE_END, lambda state: seen.append([state[key] for key in keys]))
        trainer.run("ab", max_epoch=2)
        assert seen == [[1, 3, 2], [2, 3, 2]]
        assert evaluator.state["n_iters"] == 2

    def test_have_their_own_names_without_a_prefix(self) -> None:
        trainer = Runner()
        trainer.on(AT_THE_END, evaluate(summing(), [1, 2]))
        trainer.run("a")
        assert trainer.state["total"] == 3

    def test_of_an_evaluation_inside_the_evaluation_are_copied_too(self) -> None:
        trainer, evaluator = Runner(), summing()
        evaluator.on(AT_THE_END, evaluate(summing(), [5], prefix="inner_"))
        trainer.on(AT_THE_END, evaluate(evaluator, [1], prefix="valid_"))
        trainer.run("a")
        assert (trainer.state["valid_total"], trainer.state["valid_inner_total"]) == (1, 5)

    def test_of_no_batches_are_none(self) -> None:
        trainer = Runner()
        trainer.on(AT_THE_END, evaluate(summing(), []))
        trainer.run("a")
        assert trainer.state["total"] is None

    def test_at_the_end_of_an_epoch_are_results_of_it_for_every_view(self) -> None:
        trainer, found = Runner(), list[Any]()
        SumReducer("n", value="batch").attach_on(trainer)
        evaluation = evaluate(summing(), [1, 2])
        trainer.on(AT_THE_END.where(lambda state: state["epoch"] != 2), [evaluation, evaluation])

        def note(report: Report) -> None:
            found.append((report.metrics, report.results))

        reports(trainer, on=AT_THE_END).subscribe(note)
        trainer.run([1], max_epoch=3)
        with_it = {"n": 1.0, "total": 3.0}, ("n", "total")
        assert found == [with_it, ({"n": 1.0}, ("n",)), with_it]  # no old value in between

    def test_have_their_place_on_the_axis_of_the_training(self) -> None:
        trainer, evaluator, found = Runner(), summing(), list[Any]()
        trainer.on(Event.BATCH.every(2), evaluate(evaluator, [1, 2], prefix="valid_"))
        reports(trainer).subscribe()
        inner = reports(evaluator, on=AT_THE_END)
        inner.subscribe(lambda report: found.append((report.is_inside, report.step)))
        trainer.run("abcd")
        assert found == [(True, 2), (True, 4)]

    def test_in_the_middle_of_an_epoch_are_not_results_of_the_epoch(self) -> None:
        trainer = Runner()
        trainer.on(Event.BATCH.every(2), evaluate(summing(), [1, 2]))
        trainer.run("abc")
        assert trainer.state["total"] == 3
        assert RESULTS not in epoch_memory(trainer.state)

    def test_stop_a_training_and_save_the_best(self, tmp_path: Any) -> None:
        trainer, evaluator = Runner(), Runner()
        losses = iter([3.0, 1.0, 2.0, 5.0, 0.0])
        evaluator.on(Event.BATCH, lambda state: state.update(output=next(losses)))
        MeanReducer("loss").attach_on(evaluator)
        trainer.on(AT_THE_END, evaluate(evaluator, [0], prefix="valid_"))
        early_stopping("valid_loss", patience=1).attach_on(trainer)
        trainer.on(AT_THE_END, checkpoint("valid_loss", under=tmp_path, at_most=9))
        trainer.run("a", max_epoch=5)
        assert (trainer.state["epoch"], trainer.state["valid_loss"]) == (4, 5.0)
        assert len([*tmp_path.iterdir()]) == 4

    def test_of_one_evaluator_on_two_kinds_of_batches_do_not_mix(self) -> None:
        trainer, evaluator = Runner(), summing("loss")
        values = iter([1, 9, 2, 8, 3, 7])
        for prefix in ("train_", "valid_"):
            evaluation = evaluate(evaluator, lambda: [next(values)], prefix=prefix)
            trainer.on(AT_THE_END, evaluation)
        early_stopping("valid_loss", patience=0).attach_on(trainer)
        early_stopping("train_loss", patience=1).attach_on(trainer)
        trainer.run("a", max_epoch=3)
        assert [trainer.state[key] for key in ("epoch", "train_loss", "valid_loss")] == [3, 3, 7]

    def test_are_those_of_any_event_and_as_a_part_of_a_pipeline(self) -> None:
        trainer = Runner()
        second = when(lambda state: state["n_iters"] == 2)
        trainer.on(Event.BATCH, pipeline(second, evaluate(summing("a"), [1]), stop()))
        trainer.on(Event.STOPPED, evaluate(summing("b"), [2]))
        trainer.run("abc")
        assert [trainer.state[key] for key in ("n_iters", "a", "b")] == [2, 1, 2]

    def test_come_into_any_dict_that_it_is_called_with(self) -> None:
        state: State = {}
        evaluate(summing(), [1, 2])(state)
        assert state["total"] == 3


class TestOldResults:
    def test_are_gone_while_the_next_evaluation_runs(self) -> None:
        trainer, evaluator = Runner(), summing()
        evaluator.on(Event.BATCH, lambda _: found.append("total" in trainer.state))
        found: list[bool] = []
        trainer.on(AT_THE_END, evaluate(evaluator, [1]))
        trainer.run("a", max_epoch=2)
        assert found == [False, False]

    @pytest.mark.parametrize("kind", [Boom, KeyboardInterrupt])
    def test_are_gone_after_one_that_fails_which_ends_the_training(
        self, kind: type[BaseException]
    ) -> None:
        trainer, evaluator = Runner(), summing()
        trainer.on(AT_THE_END, evaluate(evaluator, [1]))
        trainer.run("a")
        assert trainer.state["total"] == 1
        failing = evaluator.on(Event.BATCH, lambda _: raise_(kind()))
        with pytest.raises(kind) as caught:
            trainer.run("a")
        assert "total" not in trainer.state
        assert [note.partition(",")[0] for note in caught.value.__notes__] == [
            "rnnr: in a handler of Event.BATCH",
            "rnnr: in a handler of Event.EPOCH_FINISHED",
        ]
        failing.dispose()
        trainer.run("a")
        assert trainer.state["total"] == 1

    def test_of_a_reducer_that_was_detached_are_gone_too(self) -> None:
        trainer, evaluator = Runner(), summing()
        extra = SumReducer("extra", value="batch").attach_on(evaluator)
        trainer.on(AT_THE_END, evaluate(evaluator, [1]))
        trainer.run("a")
        assert trainer.state["extra"] == 1
        extra.dispose()
        trainer.run("a")
        assert "extra" not in trainer.state

    def test_of_another_process_are_gone(self) -> None:
        trainer, evaluator = Runner(), summing()
        trainer.state["total"] = 9
        trainer.on(AT_THE_END, evaluate(evaluator, [1]))
        evaluator.on(Event.BATCH, lambda _: raise_(Boom()))
        with pytest.raises(Boom):
            trainer.run("a")
        assert "total" not in trainer.state

    def test_are_gone_after_one_that_was_stopped_of_which_is_warned(self) -> None:
        trainer, evaluator = Runner(), summing()
        trainer.on(AT_THE_END, evaluate(evaluator, [1, 2, 3]))
        trainer.run("a")
        evaluator.on(Event.BATCH.every(2), stop())
        with pytest.warns(match="got one that was stopped after 2 batches and has none"):
            trainer.run("a")
        assert "total" not in trainer.state
        early_stopping("total").attach_on(trainer)
        with pytest.warns(match="to evaluate some"), pytest.raises(KeyError, match="'total'"):
            trainer.run("a")

    def test_are_gone_without_a_warning_if_the_training_is_stopped_too(self) -> None:
        trainer, evaluator = Runner(), summing()
        trainer.on(AT_THE_END, evaluate(evaluator, [1, 2, 3]))
        evaluator.on(Event.BATCH, stop())
        evaluator.on(Event.STOPPED, lambda _: trainer.stop())
        trainer.run("a")
        assert "total" not in trainer.state


class TestKeys:
    @pytest.mark.parametrize(("prefix", "name"), [("e", "poch"), ("n_", "iters"), ("_", "run")])
    def test_of_the_run_are_refused(self, prefix: str, name: str) -> None:
        with pytest.raises(ValueError, match=rf"'{prefix}{name}' \(str\); the run writes it"):
            evaluate(summing(name), [1], prefix=prefix)

    def test_of_the_run_are_refused_when_the_reducer_came_later(self) -> None:
        trainer, evaluator = Runner(), Runner()
        trainer.on(AT_THE_END, evaluate(evaluator, [1], prefix="n_"))
        SumReducer("iters", value="batch").attach_on(evaluator)
        with pytest.raises(ValueError, match=r"'n_iters' \(str\); the run writes it"):
            trainer.run("a")
        assert trainer.state["n_iters"] == 1

    def test_of_another_part_are_refused_when_it_is_attached(self) -> None:
        trainer, evaluator = Runner(), summing("loss")
        mine = MeanReducer("loss").attach_on(trainer)
        evaluation = evaluate(evaluator, [1])
        expected = r"'loss' \(str\); MeanReducer\('loss'\) writes it; choose another name"
        with pytest.raises(ValueError, match=expected):
            trainer.on(AT_THE_END, evaluation)
        mine.dispose()
        attached = trainer.on(AT_THE_END, evaluation)
        with pytest.raises(ValueError, match=r"evaluate\(prefix=''\) writes it"):
            MeanReducer("loss").attach_on(trainer)
        attached.dispose()
        MeanReducer("loss").attach_on(trainer)

    def test_of_another_evaluation_are_refused_also_if_the_reducer_came_later(self) -> None:
        trainer, first, second = Runner(), Runner(), Runner()
        trainer.on(AT_THE_END, evaluate(first, [1], prefix="valid_"))
        trainer.on(AT_THE_END, evaluate(second, [2], prefix="valid_"))
        SumReducer("a", value="batch").attach_on(first)
        SumReducer("b", value="batch").attach_on(second)
        trainer.run("x")
        assert (trainer.state["valid_a"], trainer.state["valid_b"]) == (1, 2)
        SumReducer("a", value="batch").attach_on(second)
        with pytest.raises(ValueError, match=r"'valid_a' \(str\); evaluate\(prefix='valid_'\)"):
            trainer.run("x")

    def test_are_its_own_at_two_events_and_on_two_runners(self) -> None:
        evaluation = evaluate(summing(), [1])
        for trainer in (Runner(), Runner()):
            attached = [trainer.on(event, evaluation) for event in (Event.BATCH, AT_THE_END)]
            attached[0].dispose()
            with pytest.raises(ValueError, match="writes it"):
                MeanReducer("total").attach_on(trainer)
            trainer.run("a")
            attached[1].dispose()
            MeanReducer("total", value="batch").attach_on(trainer)
            trainer.run([5])
            assert trainer.state["total"] == 5

    def test_are_reserved_where_it_is_isolated(self) -> None:
        trainer = Runner()
        trainer.on(AT_THE_END, isolate(evaluate(summing(), [1])))
        with pytest.raises(ValueError, match="writes it"):
            MeanReducer("total").attach_on(trainer)


class Torch:
    """Makes models of PyTorch."""

    @staticmethod
    def frozen() -> Any:
        """Make a model in training mode with a frozen batch norm."""
        nn = torch.nn
        model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Sequential(nn.Dropout(0.5)))
        model[1].eval()
        return model


def modes(model: Any) -> list[bool]:
    return [module.training for module in model.modules()]


def evaluating(model: Any, **settings: Any) -> tuple[Runner, Runner, list[Any]]:
    """Make a training and its evaluation, and a list of the modes and gradients in it."""
    trainer, evaluator, found = Runner(), summing(), list[Any]()

    @evaluator.on(Event.BATCH)
    def look(_: State) -> None:
        models = model if isinstance(model, list | tuple) else [model]
        found.append(([mode for one in models for mode in modes(one)], torch.is_grad_enabled()))

    trainer.on(AT_THE_END, evaluate(evaluator, [1], model=model, **settings))
    return trainer, evaluator, found


class TestAModel:
    def test_is_in_eval_mode_without_gradients_and_then_each_module_is_as_it_was(self) -> None:
        model = Torch.frozen()
        trainer, _, found = evaluating(model)
        before = modes(model)
        assert before.count(False) == 1
        trainer.run("a")
        assert found == [([False] * 5, False)]
        assert modes(model) == before
        assert torch.is_grad_enabled()

    def test_in_eval_mode_stays_in_it(self) -> None:
        model = Torch.frozen().eval()
        model[1].train()
        before = modes(model)
        evaluating(model)[0].run("a")
        assert modes(model) == before

    def test_may_be_one_of_several(self) -> None:
        first, second = Torch.frozen(), torch.nn.Dropout(0.5)
        trainer, _, found = evaluating([first, second])
        trainer.run("a")
        assert found == [([False] * 6, False)]
        assert modes(first).count(False) == 1
        assert second.training

    @pytest.mark.parametrize("kind", [Boom, KeyboardInterrupt, SystemExit])
    def test_is_as_it_was_after_an_error(self, kind: type[BaseException]) -> None:
        model = Torch.frozen()
        before = modes(model)
        trainer, evaluator, _ = evaluating(model)
        evaluator.on(Event.BATCH, lambda _: raise_(kind()))
        with pytest.raises(kind):
            trainer.run("a")
        assert modes(model) == before
        assert torch.is_grad_enabled()

    def test_is_as_it_was_after_an_interrupt_at_any_call(self) -> None:
        def is_interrupted(n: int) -> bool:
            model = Torch.frozen()
            before = modes(model)
            trainer = evaluating(model, context=nullcontext)[0]  # that of PyTorch would stay
            try:
                with interrupt_at_call(n, "rnnr.callbacks._evaluate", "rnnr.callbacks._eval_mode"):
                    trainer.run("a")
            except KeyboardInterrupt:
                assert modes(model) == before, n
                return True
            return False

        n = 1
        while is_interrupted(n):
            n += 1
        assert n > 50

    def test_is_as_it_was_after_an_interrupt_while_it_is_put_back(self) -> None:
        class Interrupted(torch.nn.Dropout):
            n_calls = 0

            def train(self, mode: bool = True) -> Any:
                self.n_calls += mode
                return super().train(mode) if self.n_calls != 1 else raise_(KeyboardInterrupt())

        model = Interrupted(0.5)
        with pytest.raises(KeyboardInterrupt):
            evaluating(model)[0].run("a")
        assert (model.training, model.n_calls) == (True, 2)

    @pytest.mark.parametrize("event", [*Event])
    def test_is_as_it_was_whatever_the_event(self, event: Event) -> None:
        model, trainer, evaluator = Torch.frozen(), Runner(), summing()
        before, found = modes(model), list[Any]()
        trainer.on(event, evaluate(evaluator, [1], model=model))
        trainer.on(event, lambda _: found.append(modes(model)))
        trainer.on(Event.BATCH.once(), stop())
        trainer.run("ab")
        trainer.on(Event.FINISHED, lambda _: raise_(Boom()))
        with pytest.raises(Boom):
            trainer.resume()
        assert found
        assert all(one == before for one in found)

    def test_whose_train_does_more_than_to_set_the_mode_is_called(self) -> None:
        class Merging(torch.nn.Linear):
            merged = False

            def train(self, mode: bool = True) -> Any:
                self.merged = not mode
                return super().train(mode)

        trained, frozen = Merging(1, 1), Merging(1, 1).eval()
        model = torch.nn.Sequential(trained, frozen)
        trainer, evaluator, _ = evaluating(model)
        evaluator.on(Event.BATCH, lambda _: found.append((trained.merged, frozen.merged)))
        found: list[Any] = []
        trainer.run("a")
        assert found == [(True, True)]
        assert (trained.merged, frozen.merged) == (False, True)
        assert modes(model) == [True, True, False]

    def test_whose_train_keeps_a_part_frozen_has_the_modes_that_it_had(self) -> None:
        class Stubborn(torch.nn.Sequential):
            def train(self, mode: bool = True) -> Any:
                super().train(mode)
                self[0].training = False
                return self

        model = Stubborn(torch.nn.Dropout(0.5), torch.nn.Dropout(0.5))
        assert modes(model) == [True, True, True]
        evaluating(model)[0].run("a")
        assert modes(model) == [True, True, True]
        model.train()
        evaluating(model)[0].run("a")
        assert modes(model) == [True, False, True]

    def test_whose_train_does_not_set_a_mode_has_it_set(self) -> None:
        class Refusing(torch.nn.Dropout):
            def train(self, mode: bool = True) -> Any:
                self.training = False
                return self

        model = Refusing(0.5)
        assert model.training
        evaluating(model)[0].run("a")
        assert model.training

    def test_that_is_compiled_has_the_modes_that_it_had(self) -> None:
        model = Torch.frozen()
        compiled: Any = torch.compile(model, backend="eager")
        before = modes(model)
        trainer, _, found = evaluating(compiled)
        trainer.run("a")
        assert not any(found[0][0])
        assert modes(model) == before
        assert compiled.training

    def test_without_an_attribute_of_the_mode_is_in_training_mode_after_it(self) -> None:
        story: list[str] = []
        optimizer = SimpleNamespace(
            eval=lambda: story.append("eval"), train=lambda: story.append("train")
        )
        trainer, evaluator = Runner(), summing()
        evaluator.on(Event.BATCH, lambda _: story.append(f"{torch.is_grad_enabled()}"))
        trainer.on(AT_THE_END, evaluate(evaluator, [1], model=(optimizer,)))
        trainer.run("a")
        assert story == ["eval", "True", "train"]

    def test_of_another_framework_needs_no_modules(self) -> None:
        class Net:
            training = True

            def eval(self) -> None:
                self.training = False

            def train(self, mode: bool = True) -> None:
                self.training = mode

        net, trainer, evaluator = Net(), Runner(), summing()
        found = list[bool]()
        evaluator.on(Event.BATCH, lambda _: found.append(net.training))
        trainer.on(AT_THE_END, evaluate(evaluator, [1], model=net))
        trainer.run("a")
        assert (found, net.training) == ([False], True)

    def test_is_freed_with_the_runner_and_without_the_collector(self) -> None:
        def ran() -> weakref.ref[Any]:
            model = torch.nn.Linear(1, 1)
            trainer, evaluator = Runner(), summing()
            trainer.on(AT_THE_END, evaluate(evaluator, [1], model=model))
            trainer.run("a")
            return weakref.ref(model)

        with without_collector():
            assert ran()() is None


class TestAContext:
    def test_takes_the_place_of_the_one_without_gradients(self) -> None:
        trainer, _, found = evaluating(Torch.frozen(), context=nullcontext)
        trainer.run("a")
        assert found == [([False] * 5, True)]

    def test_is_made_for_each_evaluation(self) -> None:
        model = torch.nn.Linear(1, 1)
        trainer, evaluator, _ = evaluating(model, context=torch.inference_mode)
        evaluator.on(Event.BATCH, lambda _: found.append(torch.is_inference_mode_enabled()))
        found: list[bool] = []
        trainer.run("a", max_epoch=2)
        assert found == [True, True]
        assert not torch.is_inference_mode_enabled()

    def test_may_swap_weights_which_are_back_after_an_error(self) -> None:
        model = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.ones_(model.weight)

        @contextmanager
        def averaged() -> Iterator[None]:
            trained = model.weight.detach().clone()
            with torch.no_grad():
                model.weight.fill_(5.0)
            try:
                yield
            finally:
                with torch.no_grad():
                    model.weight.copy_(trained)

        trainer, evaluator, _ = evaluating(model, context=averaged)
        found: list[float] = []
        evaluator.on(Event.BATCH, lambda _: found.append(model.weight.item()))
        evaluator.on(Event.BATCH, lambda _: raise_(Boom()))
        with pytest.raises(Boom):
            trainer.run("a")
        assert (found, model.weight.item()) == ([5.0], 1.0)

    def test_that_cannot_be_entered_leaves_the_model_as_it_was(self) -> None:
        model = Torch.frozen()
        before = modes(model)
        trainer, _, found = evaluating(model, context=lambda: raise_(Boom()))
        with pytest.raises(Boom):
            trainer.run("a")
        assert (found, modes(model)) == ([], before)


class TestBatches:
    def test_may_be_made_by_a_function(self) -> None:
        trainer = Runner()
        trainer.on(AT_THE_END, evaluate(summing(), lambda: iter([1, 2])))
        trainer.run("a", max_epoch=2)
        assert trainer.state["total"] == 3

    def test_that_are_called_and_iterated_are_iterated(self) -> None:
        class Loader(list[int]):
            __call__ = None

        trainer = Runner()
        trainer.on(AT_THE_END, evaluate(summing(), Loader([1, 2])))
        trainer.run("a")
        assert trainer.state["total"] == 3

    def test_of_a_generator_that_a_function_returns_again_are_warned_of(self) -> None:
        trainer, generator = Runner(), (n for n in [1, 2])
        trainer.on(AT_THE_END, evaluate(summing(), lambda: generator))
        with pytest.warns(match="exhausted before"):
            trainer.run("a", max_epoch=2)
        assert trainer.state["total"] is None

    @pytest.mark.parametrize(
        "batches", [iter([1]), (n for n in [1])], ids=["iterator", "generator"]
    )
    def test_that_can_be_iterated_once_are_refused(self, batches: Any) -> None:
        expected = r"batches that can be iterated again, got <.*lambda: iter\(loader\)"
        with pytest.raises(TypeError, match=expected):
            evaluate(Runner(), batches)

    def test_that_are_none_are_refused(self) -> None:
        with pytest.raises(TypeError, match=r"batches must be iterable, got 3 \(int\)"):
            evaluate(Runner(), 3)  # type: ignore[arg-type]


class TestArguments:
    @pytest.mark.parametrize("evaluator", [None, Runner, print])
    def test_evaluator(self, evaluator: Any) -> None:
        with pytest.raises(TypeError, match=r"evaluator must be a Runner, got .*Runner\(\)"):
            evaluate(evaluator, [1])

    def test_the_evaluator_is_another_runner(self) -> None:
        runner = summing()
        with pytest.raises(ValueError, match="another runner than the one that it evaluates for"):
            runner.on(AT_THE_END, evaluate(runner, [1]))
        runner.run([1])

    def test_prefix(self) -> None:
        with pytest.raises(TypeError, match="prefix must be a string"):
            evaluate(Runner(), [1], prefix=None)  # type: ignore[arg-type]

    @pytest.mark.parametrize("model", [3, object, [None], SimpleNamespace(eval=print)], ids=repr)
    def test_model(self, model: Any) -> None:
        with pytest.raises(TypeError, match=r"model must be an object with eval\(\) and train\(\)"):
            evaluate(Runner(), [1], model=model)

    @pytest.mark.parametrize("context", [3, nullcontext(), "no_grad"], ids=repr)
    def test_context(self, context: Any) -> None:
        with pytest.raises(TypeError, match="a function that returns a context manager"):
            evaluate(Runner(), [1], context=context)

    def test_a_context_of_pytorch_that_was_made_is_refused(self) -> None:
        with pytest.raises(TypeError, match="without parentheses"):
            evaluate(Runner(), [1], context=torch.no_grad())  # type: ignore[arg-type]

    def test_its_name_is_in_a_table_of_handlers(self) -> None:
        assert repr(evaluate(Runner(), [1], prefix="valid_")) == "evaluate(prefix='valid_')"


def dropout_net() -> Any:
    nn = torch.nn
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))


def training(
    model: Any, optimizer: Any, items: Any, n_workers: int
) -> tuple[Runner, Runner, Any, Any]:  # trainer, evaluator, loader, loader of the evaluation
    """Make a training with shuffling loaders, and the runner that evaluates it."""
    trainer, evaluator = Runner(), Runner()

    @trainer.on(Event.BATCH)
    def train(state: State) -> None:
        loss = model(state["batch"] + torch.randn(3)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        state["output"] = loss.detach()

    @evaluator.on(Event.BATCH)
    def measure(state: State) -> None:
        state["output"] = model(state["batch"]).square().mean().detach()

    MeanReducer("loss").attach_on(trainer)
    MeanReducer("loss").attach_on(evaluator)
    settings: Any = {"batch_size": 4, "shuffle": True, "num_workers": n_workers}
    loader, valid_loader = (torch.utils.data.DataLoader(items, **settings) for _ in range(2))
    return trainer, evaluator, loader, valid_loader


@pytest.mark.parametrize("n_workers", [0, 2])
@pytest.mark.parametrize("event", [AT_THE_END, Event.BATCH.every(2)], ids=["epoch", "batch"])
def test_a_training_is_to_the_bit_that_with_an_evaluation_by_hand(
    event: Any, n_workers: int
) -> None:
    def trained(attach: Callable[..., object]) -> Any:
        torch.manual_seed(1)
        model, items = dropout_net(), torch.randn(12, 3)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        trainer, evaluator, batches, valid_batches = training(model, optimizer, items, n_workers)
        attach(trainer, evaluator, valid_batches, model)
        trainer.run(batches, max_epoch=2)
        weights = [one.clone() for one in model.state_dict().values()]
        return [*weights, torch.rand(3), trainer.state["valid_loss"]]

    def by_hand(trainer: Runner, evaluator: Runner, batches: Any, model: Any) -> None:
        @trainer.on(event)
        def validate(state: State) -> None:
            model.eval()
            with torch.no_grad():
                evaluator.run(batches)
            model.train()
            state["valid_loss"] = evaluator.state["loss"]

    def in_a_line(trainer: Runner, evaluator: Runner, batches: Any, model: Any) -> None:
        trainer.on(event, evaluate(evaluator, batches, prefix="valid_", model=model))

    for one, other in zip(trained(by_hand), trained(in_a_line), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("n_workers", [0, 2])
def test_a_training_is_to_the_bit_that_without_it_if_its_loader_has_a_generator(
    n_workers: int,
) -> None:
    def trained(*events: Event) -> Any:
        torch.manual_seed(1)
        model, items = dropout_net(), torch.randn(12, 3)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        trainer, evaluator, batches, _ = training(model, optimizer, items, n_workers)
        settings: Any = {"num_workers": n_workers, "generator": torch.Generator(), "shuffle": True}
        dataset: Any = items
        valid_batches: Any = torch.utils.data.DataLoader(dataset, batch_size=4, **settings)
        for event in events:
            trainer.on(event, evaluate(evaluator, valid_batches, prefix="valid_", model=model))
        trainer.run(batches, max_epoch=2)
        assert ("valid_loss" in trainer.state) == bool(events)
        return [*(one.clone() for one in model.state_dict().values()), torch.rand(3)]

    for one, other in zip(trained(), trained(AT_THE_END), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("event", [AT_THE_END, Event.BATCH.every(2)], ids=["epoch", "batch"])
def test_a_training_with_it_is_resumed_to_the_last_bit(event: Any, tmp_path: Any) -> None:
    items = torch.randn(8, 3)

    def job(folder: Any) -> Job:
        model = dropout_net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        trainer, evaluator, batches, valid_batches = training(model, optimizer, items, 0)
        trainer.on(event, evaluate(evaluator, valid_batches, prefix="valid_", model=model))
        stopping = early_stopping("valid_loss", patience=9, restore=model)
        stopping.attach_on(trainer, event)
        often = Event.BATCH | AT_THE_END
        saved = Snapshots(folder / "snapshots", model=model, optimizer=optimizer, every=often)
        saved.attach_on(trainer)

        def result() -> State:
            return {"model": model.state_dict(), "loss": trainer.state["valid_loss"]}

        return Job(trainer, lambda: trainer.run(batches, 2), result)

    found = resumes_exactly(job, tmp_path / "job", at_most=12)
    assert found, str(found)


def test_a_stopped_evaluation_is_not_gone_on_with_when_the_training_is_resumed() -> None:
    trainer, evaluator = Runner(), summing()
    trainer.on(Event.BATCH, evaluate(evaluator, [1, 2]))
    interrupt = evaluator.on(
        Event.BATCH.where(lambda state: state["n_iters"] == 2),
        lambda _: raise_(KeyboardInterrupt()),
    )
    with pytest.raises(KeyboardInterrupt):
        trainer.run("ab")
    interrupt.dispose()
    trainer.resume(repeat_last_batch=True)
    assert (trainer.state["total"], trainer.state["n_iters"], evaluator.state["n_iters"]) == (
        3,
        2,
        2,
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_results_of_half_precision_stop_a_training(dtype: str) -> None:
    trainer, evaluator = Runner(), Runner()
    losses = iter([1.0, 2.0, 3.0])
    kind = getattr(torch, dtype)
    evaluator.on(
        Event.BATCH, lambda state: state.update(output=torch.tensor(next(losses), dtype=kind))
    )
    MeanReducer("loss").attach_on(evaluator)
    model = torch.nn.Linear(1, 1).to(kind)
    evaluation = evaluate(
        evaluator, [0], prefix="valid_", model=model, context=torch.inference_mode
    )
    trainer.on(AT_THE_END, evaluation)
    early_stopping("valid_loss", patience=0, restore="valid_loss").attach_on(trainer)
    trainer.run("a", max_epoch=3)
    assert (trainer.state["epoch"], float(trainer.state["valid_loss"])) == (2, 1.0)
