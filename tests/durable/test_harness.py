"""The harness itself: it finds what is not exact, and says what is wrong with a job."""

import gc
import random
import sys
from pathlib import Path
from typing import Any
from weakref import ref

import pytest

from rnnr import Event, Runner, State
from rnnr.durable import Exactness, Job, Moment, Snapshots, _resumes_exactly, resumes_exactly


def job(folder: Path, *callbacks: Any, event: Event = Event.BATCH, **settings: Any) -> Job:
    runner = Runner()
    runner.on(event, callbacks)
    Snapshots(folder / "run", every=Event.BATCH, background=False, **settings).attach_on(runner)
    return Job(
        runner, lambda: runner.run([1, 2], max_epoch=2), lambda: {"n": runner.state["n_iters"]}
    )


def differences(found: Exactness) -> set[str]:
    return {str(difference).partition(":")[0] for difference in found.differences.values()}


def test_it_tells_how_many_are_exact_and_is_true_if_all_are(tmp_path: Path) -> None:
    found = resumes_exactly(job, tmp_path / "job", at_most=6)
    assert found
    assert (found.n_exact, len(found.differences)) == (6, 6)
    assert str(found) == "6 of 6 pairs of crashes resumed exactly"
    assert [*tmp_path.iterdir()] == [tmp_path / "job"]
    assert [*(tmp_path / "job").iterdir()] == []


def test_it_tries_all_pairs_unless_it_is_told_how_many(tmp_path: Path) -> None:
    def shortest(folder: Path) -> Job:
        whole = job(folder)
        return Job(whole.runner, lambda: whole.runner.run([1]), whole.result)

    found = resumes_exactly(shortest, tmp_path)
    n_moments = len({first for first, _ in found.differences})
    assert found
    assert len(found.differences) == n_moments * (n_moments + 1) // 2


def test_it_leaves_the_global_generators_as_they_were(tmp_path: Path) -> None:
    random.seed(3)
    expected = random.random()
    random.seed(3)
    resumes_exactly(job, tmp_path, at_most=1)
    assert random.random() == expected


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("all of it")
    with pytest.raises(ValueError, match=r"folder must be empty, .* pass a temporary one"):
        resumes_exactly(job, tmp_path)
    assert (tmp_path / "thesis").read_text() == "all of it"


def test_a_relative_folder_is_one_of_the_directory_at_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, other = tmp_path / "here", tmp_path / "other"
    here.mkdir()
    (other / "runs").mkdir(parents=True)
    (other / "runs" / "thesis").write_text("all of it")
    monkeypatch.chdir(here)

    def leaves(folder: Path) -> Job:
        monkeypatch.chdir(other)
        return job(folder)

    assert resumes_exactly(leaves, Path("runs"), at_most=1)
    assert (other / "runs" / "thesis").read_text() == "all of it"
    assert [*here.iterdir()] == [here / "runs"]


def test_a_number_of_pairs_that_makes_no_sense_is_told_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at_most must be an integer of 1 or more, got 0"):
        resumes_exactly(lambda _: pytest.fail("it ran"), tmp_path, at_most=0)


def test_a_job_that_is_the_first_to_import_a_library_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_resumes_exactly._SEEDS, "another", "seed")

    def imports(folder: Path) -> Job:
        monkeypatch.setitem(sys.modules, "another", random)
        return job(folder)

    with pytest.raises(RuntimeError, match="got a job that imports another; write import another"):
        resumes_exactly(imports, tmp_path)


def test_what_is_not_a_job_is_refused(tmp_path: Path) -> None:
    wrong: Any = lambda folder: None  # noqa: E731
    with pytest.raises(TypeError, match=r"what job returns must be a Job, got None .*; return Job"):
        resumes_exactly(wrong, tmp_path)


def test_an_error_of_a_job_that_goes_on_is_a_difference(tmp_path: Path) -> None:
    def fail(state: State) -> None:
        raise ZeroDivisionError("at RESUMED")

    failing = lambda folder: job(folder, fail, event=Event.RESUMED)  # noqa: E731
    found = resumes_exactly(failing, tmp_path, at_most=40)
    assert not found
    assert differences(found) == {"None", "ZeroDivisionError"}
    assert "ZeroDivisionError: at RESUMED" in str(found)


def test_a_runner_that_its_own_callback_holds_is_gone_in_the_next_life(tmp_path: Path) -> None:
    """Else its logs may keep their files from the next one."""
    before: list[ref[Runner]] = []

    def held(folder: Path) -> Job:
        assert not any(runner() for runner in before)
        made = job(folder)
        made.runner.on(Event.BATCH, lambda state: made.runner)  # a cycle
        before.append(ref(made.runner))
        return made

    gc.disable()
    try:
        assert resumes_exactly(held, tmp_path, at_most=3)
    finally:
        gc.enable()


def test_values_that_are_not_plain_are_compared_by_their_class(tmp_path: Path) -> None:
    class Unknown:
        def __init__(self) -> None:
            self.n = random.random()

    def put(state: State) -> None:
        state["unknown"] = Unknown()

    assert resumes_exactly(
        lambda folder: job(folder, put, leave_out=["unknown"]),
        tmp_path,
        at_most=3,
        ignore={"unknown"},
    )
    with_result = lambda folder: job(folder)._replace(result=lambda: {"x": Unknown()})  # noqa: E731
    assert resumes_exactly(with_result, tmp_path, at_most=3)


def test_what_is_plain_beside_them_is_compared(tmp_path: Path) -> None:
    count = iter(range(10**6))
    others: list[Any] = [len]
    others.append(others)

    def result() -> dict[str, Any]:
        return {"x": {"n": [(next(count),), len], "others": others}}

    found = resumes_exactly(lambda folder: job(folder)._replace(result=result), tmp_path, at_most=2)
    assert differences(found) == {"at the end"}


def test_the_folder_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    assert resumes_exactly(job, tmp_path / "link", at_most=2)


def test_another_result_is_a_difference(tmp_path: Path) -> None:
    count = iter(range(10**6))
    found = resumes_exactly(
        lambda folder: job(folder)._replace(result=lambda: {"n": next(count)}), tmp_path, at_most=2
    )
    assert differences(found) == {"at the end"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"n_iters": 7}, "the undisturbed run does not come to"), ({"epoch": 2}, " follows ")],
    ids=["other counts", "a gap"],
)
def test_other_events_are_a_difference(
    tmp_path: Path, change: dict[str, int], expected: str
) -> None:
    def jump(folder: Path) -> Job:
        made = job(folder)
        made.runner.on(Event.RESUMED, lambda state: state.update(change, _epoch={}))
        return made._replace(result=dict)

    found = resumes_exactly(jump, tmp_path, at_most=40)
    assert any(expected in str(one) for one in found.differences.values()), str(found)
    assert len(str(found).splitlines()) <= 21


def test_a_run_that_does_not_go_on_ends_too_early(tmp_path: Path) -> None:
    def lazy(folder: Path) -> Job:
        is_new = not any(folder.iterdir())
        made = job(folder)
        return made if is_new else made._replace(run=lambda: None, result=dict)

    found = resumes_exactly(lazy, tmp_path, at_most=5)
    assert any("it ends before" in str(one) for one in found.differences.values())


def test_a_moment_says_where_it_is() -> None:
    assert str(Moment(Event.BATCH, 2, 7, "between")) == "between BATCH, epoch 2, batch 7"
