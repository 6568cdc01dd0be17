"""Loaders of PyTorch: those that keep their workers, and those with generators of their own."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from rnnr import Event, RnnrWarning, Runner, State
from rnnr.durable import Job, Snapshots, resumes_exactly

torch = pytest.importorskip("torch")


def job(folder: Path) -> Job:
    loader = torch.utils.data.DataLoader(
        torch.arange(6), batch_size=2, shuffle=True, num_workers=1, persistent_workers=True
    )
    runner = Runner()
    runner.state["seen"] = []
    runner.on(Event.BATCH, lambda state: state["seen"].append(state["batch"].tolist()))
    Snapshots(folder / "run", every=Event.BATCH.every(2)).attach_on(runner)
    return Job(runner, lambda: runner.run(loader, 3), lambda: {"seen": runner.state["seen"]})


def test_a_restart_draws_the_order_that_the_run_would_have_drawn(tmp_path: Path) -> None:
    """The loader draws a number when it starts its workers, in the first epoch alone."""
    found = resumes_exactly(job, tmp_path / "job", at_most=8, seed=1)
    assert found, str(found)


def test_a_run_that_goes_on_in_its_process_draws_it_too(tmp_path: Path) -> None:
    def seen(fails_at: int | None) -> Any:
        torch.manual_seed(0)
        made = job(tmp_path / str(fails_at))
        seen: list[Any] = []

        def fail(state: State) -> None:
            seen.append(state["batch"].tolist())
            if len(seen) == fails_at:
                raise KeyboardInterrupt

        made.runner.on(Event.BATCH, fail)
        if fails_at:
            with pytest.raises(KeyboardInterrupt):
                made.run()
        made.run()
        return made.result()

    assert seen(2) == seen(None)
    assert seen(5) == seen(None)


@pytest.mark.parametrize("place", ["of the loader", "of its sampler"])
def test_a_generator_of_a_loader_is_told_of_unless_it_is_named(tmp_path: Path, place: str) -> None:
    generator = torch.Generator()
    sampler = torch.utils.data.RandomSampler(range(4), generator=generator)
    settings = {"sampler": sampler} if place == "of its sampler" else {"generator": generator}
    loader = torch.utils.data.DataLoader(range(4), **settings)

    def run(folder: Path, **settings: Any) -> None:
        runner = Runner()
        Snapshots(folder, **settings).attach_on(runner)
        runner.run(loader)

    with pytest.warns(RnnrWarning, match=r"got a DataLoader with a generator that is not named; "):
        run(tmp_path / "one")
    run(tmp_path / "other", generators=[generator])
    loader.generator = sampler.generator = torch.default_generator  # which is saved anyway
    if place == "of the loader":
        loader.sampler.generator = None
    run(tmp_path / "global")


class Stream(torch.utils.data.IterableDataset):  # type: ignore[misc, name-defined]
    def __iter__(self) -> Any:
        return iter(range(4))


@pytest.mark.parametrize(
    ("dataset", "settings", "is_told"),
    [
        (range(4), {}, True),
        (Stream(), {}, False),  # to ask for its length has an effect
        (range(4), {"sampler": iter(range(4))}, False),
    ],
    ids=["a dataset with a length", "a stream", "a sampler without a length"],
)
def test_another_number_of_batches_is_told_where_it_is_known(
    tmp_path: Path, dataset: Any, settings: Any, is_told: bool
) -> None:
    def run(batch_size: int, fails_at: int | None = None) -> None:
        runner = Runner()
        runner.on(Event.BATCH.where(lambda state: state["n_iters"] == fails_at), fail)
        Snapshots(tmp_path, every=Event.BATCH).attach_on(runner)
        runner.run(torch.utils.data.DataLoader(dataset, batch_size, **settings))

    def fail(state: State) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(1, 2)
    expected = pytest.warns(RnnrWarning, match="4 of them, got 2") if is_told else nullcontext()
    with expected:
        run(2)
