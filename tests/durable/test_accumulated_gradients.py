"""Gradients that are being added up when a run is killed."""

from pathlib import Path
from typing import Any

import pytest

from helpers.extras import torch
from rnnr import Event, Runner, Selection, State
from rnnr.durable import Snapshots

FOURTH = Event.BATCH.every(4, of="epoch", rest=True)


class Kill(BaseException):
    """Ends a run as a kill does: nothing is saved."""


def weights_after(
    folder: Path, every: Event | Selection, *, with_gradients: bool, kill_at: int | None
) -> Any:
    """Train with gradients of four batches; return the weights, or nothing after a kill."""
    torch.manual_seed(0)
    inputs: Any = torch.randn(14, 3)
    loader = torch.utils.data.DataLoader(inputs, batch_size=2, shuffle=True)  # 7 batches
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    runner = Runner()

    @runner.on(Event.BATCH)
    def add_gradients(state: State) -> None:
        if state["n_iters"] == kill_at:
            raise Kill
        model(state["batch"]).square().mean().backward()

    @runner.on(FOURTH)
    def step(state: State) -> None:
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    gradients = {"gradients": [weight.grad for weight in model.parameters()]}
    more: dict[str, Any] = gradients if with_gradients else {}
    snapshots = Snapshots(folder, every=every, model=model, optimizer=optimizer, **more)
    snapshots.attach_on(runner)
    try:
        runner.run(loader, max_epoch=2)
    except Kill:
        return None
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


@pytest.mark.parametrize(
    ("every", "with_gradients", "is_exact"),
    [
        pytest.param(FOURTH, False, True, id="saved where the optimizer steps"),
        pytest.param(Event.EPOCH_FINISHED, False, True, id="saved at the end of an epoch"),
        pytest.param(Event.BATCH, True, True, id="saved at any batch, the gradients too"),
        pytest.param(Event.BATCH, False, False, id="saved at any batch without the gradients"),
    ],
)
def test_a_run_goes_on_exactly_if_no_gradient_is_lost(
    every: Event | Selection, with_gradients: bool, is_exact: bool, tmp_path: Path
) -> None:
    pytest.importorskip("torch")

    def train(name: str, kill_at: int | None = None) -> Any:
        folder = tmp_path / name
        return weights_after(folder, every, with_gradients=with_gradients, kill_at=kill_at)

    undisturbed = train("undisturbed")
    train("killed", kill_at=11)
    assert torch.equal(train("killed"), undisturbed) is is_exact
