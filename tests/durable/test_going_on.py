"""What a run that goes on must not do in silence, in another process and in the same one."""

import os
import random
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from helpers.training import Killed, Log, Model, Shuffled, Training, killed, train, undisturbed
from rnnr import Event, RnnrWarning, Runner, State
from rnnr.callbacks import early_stopping
from rnnr.durable import JsonLines, Snapshots, StopOnSignal
from rnnr.durable._writer import Writer
from rnnr.recording import Record
from rnnr.sources import epochs_of


class TestTheNumberOfEpochs:
    def test_that_a_callback_has_lowered_is_kept(self, tmp_path: Path) -> None:
        def lower(state: State) -> None:
            state["max_epoch"] = 2

        assert train(tmp_path, lower).run(5).result["epoch"] == 2
        again = train(tmp_path, lower).run(5)
        assert again.seen == []
        assert again.runner.state["max_epoch"] == 2

    def test_that_a_callback_has_raised_is_kept(self, tmp_path: Path) -> None:
        def raise_it(state: State) -> None:
            if state["n_iters"] == 1:
                state["max_epoch"] = 3

        expected = train(tmp_path / "whole", raise_it).run(1).result
        with suppress(Killed):
            train(tmp_path / "run", raise_it, kill_at=10).run(1)
        assert train(tmp_path / "run", raise_it).run(1).result == expected
        assert expected["epoch"] == 3

    def test_that_run_is_given_counts_if_it_is_another_one(self, tmp_path: Path) -> None:
        train(tmp_path, lambda state: state.update(max_epoch=2)).run(5)
        assert train(tmp_path).run(4).result["epoch"] == 4


class TestOtherBatches:
    """Batches that a callback puts into the state in the place of those of ``run``."""

    def job(self, folder: Path, event: Any, kill_at: int | None = None) -> Any:
        training = train(folder, kill_at=kill_at, every=Event.BATCH.every(3))
        own = Shuffled(5)
        training.runner.on(event, lambda state: state.update(batches=own))
        return training

    def test_that_are_set_when_the_run_goes_on_are_skipped(self, tmp_path: Path) -> None:
        event = Event.EPOCH_STARTED | Event.RESUMED
        expected = self.job(tmp_path / "whole", event).run().result
        with suppress(Killed):
            self.job(tmp_path / "run", event, kill_at=5).run()
        assert self.job(tmp_path / "run", event).run().result == expected

    def test_that_are_not_set_again_are_missed(self, tmp_path: Path) -> None:
        with suppress(Killed):
            self.job(tmp_path, Event.EPOCH_STARTED, kill_at=5).run()
        with pytest.raises(
            RuntimeError, match=r"the batches of epoch 1 must be those that a callb"
        ):
            self.job(tmp_path, Event.EPOCH_STARTED).run()


class TestAnotherNumberOfBatches:
    def test_is_told_of_in_the_middle_of_an_epoch(self, tmp_path: Path) -> None:
        with suppress(Killed):
            train(tmp_path, kill_at=3, batches=[1.0, 2.0, 3.0, 4.0]).run()
        with pytest.warns(RnnrWarning, match=r"epoch 1 must be those .* 4 of them, got 6: the fi"):
            train(tmp_path, batches=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).run()

    def test_is_no_matter_between_two_epochs(self, tmp_path: Path) -> None:
        train(tmp_path, batches=[1.0, 2.0]).run(1)
        train(tmp_path, batches=[1.0, 2.0, 3.0]).run(2)


def log_in(folder: Path, kind: Any) -> Runner:
    """Return a runner with a log of its batches, whose snapshots are all kept in a folder."""
    runner = Runner()
    log = kind(folder.parent / "log", "batch", on=Event.BATCH)
    log.attach_on(runner)
    Snapshots(folder, every=Event.BATCH, at_most=9, **{"the/log": log}).attach_on(runner)
    return runner


class TestLogs:
    def test_one_that_could_not_tell_its_position_is_not_told_to_restore_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def life(kill_at: int | None) -> None:
            record = Record(tmp_path / "run.jsonl")
            training = train(tmp_path / "snapshots", kill_at=kill_at, record=record)
            with record.attach_on(training.runner):
                training.run()

        with monkeypatch.context() as patch, suppress(Killed):
            patch.setattr("rnnr._logs._log.LogPlace.position", fail)
            life(3)
        life(None)

    @pytest.mark.parametrize("kind", [JsonLines, Record])
    def test_of_a_run_that_is_over_are_not_cut(self, tmp_path: Path, kind: Any) -> None:
        path = tmp_path / "log"

        def run(seed: int) -> None:
            runner = Runner()
            log = kind(path, "loss")
            attached = log.attach_on(runner)
            Snapshots(tmp_path / str(seed), log=log).attach_on(runner)
            runner.run("ab", max_epoch=2)
            attached.dispose()

        run(1)
        run(2)
        before = path.read_bytes()
        run(1)
        run(2)
        assert path.read_bytes() == before

    @pytest.mark.parametrize("kind", [JsonLines, Record])
    def test_rows_that_are_cut_are_kept_in_the_folder(self, tmp_path: Path, kind: Any) -> None:
        log_in(tmp_path / "run", kind).run("abcd")
        before = (tmp_path / "log").read_bytes()
        beginning = min((tmp_path / "run").glob("0*-S"))
        # Whoever brings a snapshot of the beginning may have any log emptied that is named.
        shutil.copytree(beginning, tmp_path / "theirs" / beginning.name)
        log_in(tmp_path / "theirs", kind).run("abcd")
        after = (tmp_path / "log").read_bytes()
        assert after.count(b"\n") == before.count(b"\n")
        assert (tmp_path / "theirs" / "the%2Flog.cut").read_bytes() == before
        shutil.rmtree(tmp_path / "theirs" / beginning.name)
        shutil.copytree(beginning, tmp_path / "theirs" / beginning.name)
        for later in (tmp_path / "theirs").glob("0*-[BEF]"):
            shutil.rmtree(later)
        log_in(tmp_path / "theirs", kind).run("abcd")
        assert (tmp_path / "theirs" / "the%2Flog.cut").read_bytes() == before + after

    @pytest.mark.parametrize("make", [os.symlink, os.link, lambda _, kept: os.mkfifo(kept)])
    def test_no_row_is_cut_that_cannot_be_kept(self, tmp_path: Path, make: Any) -> None:
        log_in(tmp_path / "run", JsonLines).run("abcd")
        before = (tmp_path / "log").read_bytes()
        for later in (tmp_path / "run").glob("0*-[BEF]"):
            shutil.rmtree(later)
        (tmp_path / "outside").write_text("mine")
        make(tmp_path / "outside", tmp_path / "run" / "the%2Flog.cut")
        with pytest.raises(OSError, match=r"the%2Flog\.cut' must be a file that can be written to"):
            log_in(tmp_path / "run", JsonLines).run("abcd")
        assert (tmp_path / "log").read_bytes() == before
        assert (tmp_path / "outside").read_text() == "mine"

    def test_each_has_a_file_of_its_own_for_its_rows(self, tmp_path: Path) -> None:
        def life(kill_at: int | None) -> None:
            logs: dict[str, Any] = {
                "x" * 200 + end: JsonLines(tmp_path / end, "max_epoch") for end in "ab"
            }
            training = train(tmp_path / "run", kill_at=kill_at, every=Event.BATCH.every(2), **logs)
            attached = [log.attach_on(training.runner) for log in logs.values()]
            with suppress(Killed):
                training.run()
            for each in attached:
                each.dispose()

        logs = {end: tmp_path / end for end in "ab"}
        life(None)
        for path in logs.values():
            path.write_text(path.read_text() + f'{{"of": "{path.name}"}}\n')
        for later in (tmp_path / "run").glob("0*-F"):
            shutil.rmtree(later)
        life(None)
        kept = [path.read_text() for path in (tmp_path / "run").glob("*.cut")]
        assert sorted(re.findall('"of": "(.)"', "".join(one)) for one in kept) == [["a"], ["b"]]

    def test_are_not_cut_where_something_else_does_not_fit(self, tmp_path: Path) -> None:
        def life(weights: Any, kill_at: int | None) -> None:
            log = JsonLines(tmp_path / "log", "batch", on=Event.BATCH)
            training = train(tmp_path / "run", kill_at=kill_at, log=log, weights=weights)
            with log.attach_on(training.runner):
                training.run()

        np = pytest.importorskip("numpy")
        with suppress(Killed):
            life(np.zeros(1), 3)
        before = (tmp_path / "log").read_bytes()
        for _ in range(2):
            with pytest.raises(ValueError, match="weights must have the type and the shape"):
                life(np.zeros(2), None)
        assert (tmp_path / "log").read_bytes() == before
        assert not [*(tmp_path / "run").glob("*.cut")]

    def test_that_nobody_names_are_told_of(self, tmp_path: Path) -> None:
        runner = Runner()
        JsonLines(tmp_path / "log", "loss").attach_on(runner)
        Snapshots(tmp_path / "run").attach_on(runner)
        with pytest.warns(RnnrWarning, match=r"a callback that holds .*JsonLines"):
            runner.run("ab")


class TestObjectsThatNothingSaves:
    def test_are_told_of_at_the_beginning_and_when_the_run_goes_on(self, tmp_path: Path) -> None:
        other = Model()
        for kill_at in (5, None):
            with (
                pytest.warns(RnnrWarning, match=r"got a callback that holds .*Model") as caught,
                suppress(Killed),
            ):
                train(tmp_path, lambda state: other.step(0.0), kill_at=kill_at).run()
            (warning,) = caught
            assert warning.filename.endswith("training.py")  # which calls run

    def test_are_in_the_state_or_in_a_list_that_is_named(self, tmp_path: Path) -> None:
        one, other = Model(), Model()
        training = train(
            tmp_path, lambda state: one.step(0.0), lambda _: other.step(0.0), all=[one]
        )
        training.runner.state["other"] = {"a": (other,)}
        training.run()

    def test_a_loader_is_not_asked(self, tmp_path: Path) -> None:
        class Loader(Shuffled):
            def state_dict(self) -> dict[str, Any]:
                raise ZeroDivisionError

            load_state_dict = state_dict

        loader = Loader()
        train(tmp_path, lambda _: loader.n_drawn, batches=loader).run()

    def test_nor_is_a_part_of_a_model_that_is_saved(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1))
        part = model[0]
        train(tmp_path, lambda _: part(torch.ones(1)), net=model).run()

    def test_a_generator_is_told_of_unless_it_is_named(self, tmp_path: Path) -> None:
        own = random.Random(3)
        with pytest.warns(RnnrWarning, match=r"holds <random.Random .* Snapshots\(generators="):
            train(tmp_path / "one", lambda _: own.random()).run()
        train(tmp_path / "other", lambda _: own.random(), generators=[own]).run()

    def test_the_global_ones_are_saved_anyway(self, tmp_path: Path) -> None:
        np, torch = pytest.importorskip("numpy"), pytest.importorskip("torch")
        draw, of_numpy, of_torch = random.random, np.random.random.__self__, torch.default_generator
        train(tmp_path, lambda _: (draw(), of_numpy.random(), of_torch.initial_seed())).run()

    def test_what_contains_itself_or_the_same_again_and_again(self, tmp_path: Path) -> None:
        """Two to the power of fifty places, and a list in itself."""
        training = train(tmp_path)
        many: list[Any] = []
        for _ in range(50):
            many = [many, many]
        itself: list[Any] = []
        itself.append(itself)
        training.runner.state.update(many=many, itself=itself)
        training.run()
        again = train(tmp_path).run(3).runner.state
        assert again["itself"] is again["itself"][0]
        assert again["many"][0] is again["many"][1]


class TestArguments:
    def test_nor_is_what_a_saved_object_holds_itself(self, tmp_path: Path) -> None:
        """A script of PyTorch still holds the module that it was made of."""

        class Compiled(Model):
            def __init__(self, model: Model) -> None:
                super().__init__()
                self.step = model.step  # type: ignore[method-assign]

            def __call__(self, batch: float) -> None:
                self.step(batch)

        compiled, runner = Compiled(Model()), Runner()
        runner.on(Event.BATCH, lambda state: compiled(state["batch"]))
        Snapshots(tmp_path, compiled=compiled).attach_on(runner)
        runner.run([1, 2])

    def test_an_object_by_the_name_of_a_setting_is_refused(self, tmp_path: Path) -> None:
        model: Any = Model()
        with pytest.raises(TypeError, match=r"background must be True or False, got .*another one"):
            Snapshots(tmp_path, background=model)
        with pytest.raises(TypeError, match="leave_out must be several keys of the state, got"):
            Snapshots(tmp_path, leave_out={"weights": [1.0]})
        with pytest.raises(ValueError, match=r"an object must be one with a name of its own, .*"):
            Snapshots(tmp_path, state=model)

    @pytest.mark.parametrize("key", ["n_iters", "epoch", "_epoch", "_run"])
    def test_a_key_that_the_run_needs_cannot_be_left_out(self, tmp_path: Path, key: str) -> None:
        with pytest.raises(ValueError, match=f"leave_out must be keys that callbacks .* '{key}'"):
            Snapshots(tmp_path, leave_out=[key])

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (
                {"generators": random.Random(0)},
                r"generators must be several .* also for one",
            ),
            ({"leave_out": 5}, "leave_out must be several keys of the state, got 5"),
        ],
    )
    def test_one_where_several_are_expected(
        self, tmp_path: Path, settings: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(TypeError, match=message):
            Snapshots(tmp_path, **settings)


class TestObjectsOfAnotherKind:
    def test_of_another_class_are_told_of(self, tmp_path: Path) -> None:
        class Another(Model):
            """Understands the same state."""

        with suppress(Killed):
            train(tmp_path, kill_at=2, other=Model()).run()
        with pytest.warns(RnnrWarning, match="other must be of the class that was saved, Model, g"):
            train(tmp_path, other=Another()).run()

    def test_that_cannot_take_the_state_are_named_in_a_note(self, tmp_path: Path) -> None:
        class Refusing(Model):
            def load_state_dict(self, state: dict[str, Any]) -> None:
                raise KeyError("momentum")

        Refusing.__qualname__ = "Model"
        with suppress(Killed):
            train(tmp_path, kill_at=2, other=Model()).run()
        with pytest.raises(KeyError, match="momentum") as error:
            train(tmp_path, other=Refusing()).run()
        assert "while 'other' was restored; make it as in the run" in error.value.__notes__[0]


class TestInTheSameProcess:
    @pytest.mark.parametrize("every", [Event.BATCH.every(3), Event.BATCH, Event.EPOCH_FINISHED])
    def test_a_second_run_after_an_error_goes_on_from_the_snapshot(
        self, tmp_path: Path, every: Any
    ) -> None:
        expected = undisturbed(tmp_path / "whole", every=every)
        errors = iter([5, 7, 8, None])
        n: list[Any] = [next(errors)]

        def fail(state: State) -> None:
            state["total"] = state.get("total", 0) + state["batch"]
            if state["n_iters"] == n[0]:
                n[0] = next(errors)
                raise Killed

        training = train(tmp_path / "run", fail, every=every)
        for _ in range(3):
            with suppress(Killed):
                training.run()
        assert training.run().result == expected
        batches = [batch for _, batch in training.runner.state["story"]]
        assert training.runner.state["total"] == pytest.approx(sum(batches), rel=1e-15)

    def test_resume_is_refused_where_another_process_has_gone_on(self, tmp_path: Path) -> None:
        training = train(tmp_path, kill_at=3)
        with suppress(Killed):
            training.run()
        train(tmp_path).run(1)
        with pytest.raises(RuntimeError, match=r"which another process has saved; call run"):
            training.runner.resume()

    def test_so_is_a_state_that_was_restored_by_hand(self, tmp_path: Path) -> None:
        killed(tmp_path, 3)
        training = train(tmp_path)
        training.runner.state.update(batches=[1.0], max_epoch=3, n_iters=1, epoch=1)
        with pytest.raises(RuntimeError, match=r"the newest of the run, got 000000002-0001-B"):
            training.runner.resume()

    def test_in_an_empty_folder_it_is_saved_from_then_on(self, tmp_path: Path) -> None:
        class Net(Model):
            pass

        training = train(tmp_path)
        training.runner.state.update(batches=[1.0], max_epoch=3, n_iters=1, epoch=1, net=Net())
        training.runner.resume()
        training = train(tmp_path)
        training.runner.state["net"] = Net()
        assert training.run(3).seen == []

    def test_a_loader_that_seeks_is_skipped_after_errors(self, tmp_path: Path) -> None:
        class Loader:
            """Goes to a place only where a state was loaded before."""

            def __init__(self) -> None:
                self.n = self.start = 0
                self.errors: list[int] = []

            def __iter__(self) -> Iterator[float]:
                start, self.start = self.start, 0
                for self.n in range(start, 6):
                    if self.n in self.errors:
                        self.errors.remove(self.n)
                        raise OSError
                    yield float(self.n)

            def state_dict(self) -> dict[str, int]:
                return {"n": self.n + 1}

            def load_state_dict(self, state: dict[str, int]) -> None:
                self.start = state["n"]

        loader = Loader()
        killed(tmp_path, 3, batches=loader, loader=loader)
        loader = Loader()
        training = train(tmp_path, batches=loader, loader=loader)
        loader.errors = [4, 1]
        for go_on in (training.run, training.runner.resume, training.runner.resume):
            with suppress(OSError):
                go_on()
        assert [batch for _, batch in training.runner.state["story"]] == [*map(float, range(6))] * 2

    @pytest.mark.parametrize("every", [Event.BATCH, Event.EPOCH_FINISHED], ids=["batch", "epoch"])
    @pytest.mark.parametrize("kill_at", [2, 3, 4, 5, 6, 8])
    def test_a_loader_that_seeks_goes_on_in_a_pass_that_is_cut(
        self, tmp_path: Path, kill_at: int, every: Any
    ) -> None:
        n_yielded = [0]

        class Loader:
            """Goes to a place only where a state was loaded before."""

            def __init__(self) -> None:
                self.n = self.start = 0

            def __iter__(self) -> Iterator[float]:
                start, self.start = self.start, 0
                for self.n in range(start, 5):
                    n_yielded[0] += 1
                    yield float(self.n)

            def state_dict(self) -> dict[str, int]:
                return {"n": self.n + 1}

            def load_state_dict(self, state: dict[str, int]) -> None:
                self.start = state["n"]

        def training(kill_at: int | None = None) -> Training:
            loader = Loader()
            batches = epochs_of(loader, 2)
            return train(tmp_path, kill_at=kill_at, every=every, batches=batches, loader=loader)

        with suppress(Killed):
            training(kill_at).run(6)
        n_yielded[0] = 0
        told = training().run(6)
        batches = [batch for _, batch in told.runner.state["story"]]
        assert batches == [0.0, 1.0, 2.0, 3.0, 4.0] * 2
        assert n_yielded[0] <= 10 - (kill_at - 2)  # nothing is skipped


class TestBatchesThatAreNamed:
    def test_are_skipped_unless_they_seek(self, tmp_path: Path) -> None:
        def job(folder: Path, kill_at: int | None = None) -> Any:
            data = [0.0, 1.0, 2.0, 3.0]
            training = train(folder, kill_at=kill_at, batches=data, data=data)
            training.runner.on(Event.EPOCH_FINISHED, lambda _: random.shuffle(data))
            return training

        expected = job(tmp_path / "whole").run(3).result
        for kill_at in (2, 6, 9):
            with suppress(Killed):
                job(tmp_path / "run", kill_at).run(3)
        assert job(tmp_path / "run").run(3).result == expected


class TestStops:
    def test_a_key_that_the_user_sets_makes_no_snapshot_of_a_torn_batch(
        self, tmp_path: Path
    ) -> None:
        def job(folder: Path, stop: bool) -> Any:
            training = train(folder, every=Event.EPOCH_FINISHED)

            @training.runner.on(Event.BATCH)
            def stop_at_once(state: State) -> None:
                if stop and state["n_iters"] == 3:
                    state["stopped_by"] = "me"
                    training.runner.stop()

            @training.runner.on(Event.BATCH)
            def count(state: State) -> None:
                state["n"] = state.get("n", 0) + 1

            return training

        job(tmp_path, stop=True).run()
        training = job(tmp_path, stop=False).run()
        assert training.runner.state["n"] == training.runner.state["n_iters"] == 8

    def job(self, folder: Path, patience: int = 0) -> Runner:
        runner = Runner()
        runner.on(Event.EPOCH_FINISHED, lambda state: state.update(loss=1.0))
        early_stopping("loss", patience=patience).attach_on(runner)
        Snapshots(folder).attach_on(runner)
        return runner

    def test_an_early_stop_stays_one_until_the_patience_is_larger(self, tmp_path: Path) -> None:
        for patience, epoch in [(0, 2), (0, 2), (1, 3), (1, 3), (9, 6)]:
            runner = self.job(tmp_path, patience)
            runner.run("ab", max_epoch=6)
            assert runner.state["epoch"] == epoch

    def test_an_early_stop_is_not_lost_by_an_error_in_its_event(self, tmp_path: Path) -> None:
        runner = self.job(tmp_path)
        failing = runner.on(Event.EPOCH_FINISHED.where(lambda state: state["epoch"] == 2), fail)
        with pytest.raises(ZeroDivisionError):
            runner.run("ab", max_epoch=6)
        failing.dispose()
        runner.resume()
        assert runner.state["epoch"] == 2
        assert runner.state["stopped_by"] == "early_stopping('loss'): patience"
        runner.resume()  # which trains on
        assert runner.state["epoch"] == 3

    def test_nor_by_a_signal_in_its_event(self, tmp_path: Path) -> None:
        import signal

        runner = Runner()
        StopOnSignal(exit=False).attach_on(runner)
        runner.on(Event.EPOCH_FINISHED, lambda state: state.update(loss=1.0))
        last = Event.EPOCH_FINISHED.where(lambda state: state["epoch"] == 2)
        runner.on(last, lambda _: signal.raise_signal(signal.SIGTERM))
        early_stopping("loss", patience=0).attach_on(runner)
        runner.run("ab", max_epoch=6)
        assert runner.state["stopped_by"] == "SIGTERM"
        runner.resume()
        assert (runner.state["epoch"], runner.state["stopped_by"]) == (
            2,
            "early_stopping('loss'): patience",
        )


def fail(_: State) -> None:
    raise ZeroDivisionError


def test_a_thread_that_an_interrupt_kept_from_starting_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writer, done = Writer(background=True), []

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("threading.Thread.start", interrupt)
        with pytest.raises(KeyboardInterrupt):
            writer.submit(lambda: done.append(1), print)
    writer.submit(lambda: done.append(2), print)
    writer.wait()
    assert done == [2]


def test_layers_in_another_order_are_told_of(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    def job(names: str) -> Runner:
        model = torch.nn.Module()
        for name in names:
            model.add_module(name, torch.nn.Linear(2, 2))
        runner = Runner()
        Snapshots(tmp_path, model=model).attach_on(runner)
        return runner

    job("ab").run([1])
    job("ab").run([1], max_epoch=2)
    with pytest.warns(RnnrWarning, match=r"got b.weight where a.weight was: an optimizer gives"):
        job("ba").run([1], max_epoch=3)


def test_a_log_of_the_users_own_is_cut_back(tmp_path: Path) -> None:
    def job(folder: Path, kill_at: int | None = None) -> bytes:
        folder.mkdir(exist_ok=True)
        log = Log(folder / "log")
        with log.file:
            training = train(
                folder / "run",
                lambda state: log.add(repr(state["batch"])),
                kill_at=kill_at,
                log=log,
            )
            with suppress(Killed):
                training.run()
        return (folder / "log").read_bytes()

    expected = job(tmp_path / "whole")
    for kill_at in (3, 6, None):
        got = job(tmp_path / "run", kill_at)
    assert got == expected
