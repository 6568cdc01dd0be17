"""Train a small convolutional network on handwritten digits, with PyTorch and rnnr.

    pip install '.[examples]' torch
    python examples/torch_digits.py [--seed 0] [--epochs 40] [--out DIR] [--snapshots DIR]

It is `digits.py` with a network, an optimizer and loaders of PyTorch. To rnnr a tensor is a value
like any other: runners, callbacks and their order are the same. Two things are new: callbacks
switch the network between training and evaluation, and ``torch.save`` writes the checkpoint.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

try:
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset, random_split
except ModuleNotFoundError:
    print("skipped: this example needs PyTorch; pip install torch", file=sys.stderr)
    sys.exit(0)

from sklearn.datasets import load_digits  # type: ignore[import-untyped]

from rnnr import Event, Runner, State
from rnnr.attachments import MeanReducer, ProgressBar
from rnnr.callbacks import checkpoint, early_stopping
from rnnr.durable import Snapshots


def main(argv: Sequence[str] | None = None) -> float:
    """Train, keep the best model, and return its accuracy on the held-out digits."""
    parser = argparse.ArgumentParser(description="Train a small network on handwritten digits.")
    parser.add_argument("--seed", type=int, default=0, help="decides the split and the training")
    parser.add_argument("--epochs", type=int, default=40, help="train no longer than this")
    parser.add_argument("--out", help="keep the best model in this directory")
    parser.add_argument("--snapshots", help="save the run in this directory, and go on from there")
    options = parser.parse_args(argv)
    kept = options.out or options.snapshots  # a killed run must find its best model again
    with nullcontext(kept) if kept else TemporaryDirectory() as out:
        return train(options.seed, options.epochs, out, options.snapshots)


def train(seed: int, max_epoch: int, out: str, snapshots: str | None = None) -> float:
    """Train under one seed; the best model is in the directory ``out`` afterwards."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # so small a network is no faster on more, and sums come out the same
    images, labels = map(torch.tensor, load_digits(return_X_y=True))
    digits = TensorDataset(images.float().reshape(-1, 1, 8, 8) / 16, labels)  # pixels were 0 to 16
    training, validation, held_out = random_split(digits, [1197, 240, 360])

    model = nn.Sequential(
        nn.Conv2d(1, 32, kernel_size=3),
        nn.ReLU(),
        nn.Conv2d(32, 32, kernel_size=3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(32 * 4 * 4, 10),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    trainer, evaluator = Runner(), Runner()
    trainer.state["model"] = model
    trainer.on(Event.EPOCH_STARTED | Event.RESUMED, lambda _: model.train())
    evaluator.on(Event.STARTED, lambda _: model.eval())

    @trainer.on(Event.BATCH)
    def learn(state: State) -> None:
        images, labels = state["batch"]
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # untyped in PyTorch
        optimizer.step()
        state["stats"] = {"loss": loss.item()}

    @evaluator.on(Event.BATCH)
    @torch.no_grad()
    def evaluate(state: State) -> None:
        images, labels = state["batch"]
        logits = model(images)
        state["loss_sum"] = nn.functional.cross_entropy(logits, labels, reduction="sum").item()
        state["n_correct"] = (logits.argmax(dim=1) == labels).sum().item()
        state["size"] = len(labels)  # the last batch is smaller: the means are over digits

    MeanReducer("loss", value="loss_sum").attach_on(evaluator)
    MeanReducer("accuracy", value="n_correct").attach_on(evaluator)
    ProgressBar(stats="stats", desc="training", leave=False, mininterval=0.02).attach_on(trainer)

    def validate(state: State) -> None:
        evaluator.run(DataLoader(validation, batch_size=240))
        epoch, loss = state["epoch"], evaluator.state["loss"]
        state["validation_loss"] = loss
        state["better"] = loss < state.get("best_loss", math.inf)
        if state["better"]:
            state["best_epoch"], state["best_loss"] = epoch, loss
            percent = 100 * evaluator.state["accuracy"]
            print(f"epoch {epoch:2}: validation loss {loss:.3f}, accuracy {percent:.1f} %")

    # In this order: the checkpoint reads state["better"], early stopping the loss.
    keep_best = checkpoint("model", when="better", under=out, using=save_weights, ext="pt")
    trainer.on(Event.EPOCH_FINISHED, [validate, keep_best])
    early_stopping("validation_loss", patience=5).attach_on(trainer)
    if snapshots:
        Snapshots(snapshots, model=model, optimizer=optimizer).attach_on(trainer)
    trainer.run(DataLoader(training, batch_size=64, shuffle=True), max_epoch)

    model.load_state_dict(torch.load(trainer.state["_saved_model"][-1], weights_only=True))
    evaluator.run(DataLoader(held_out, batch_size=240))
    accuracy = float(evaluator.state["accuracy"])
    epoch, best_epoch = trainer.state["epoch"], trainer.state["best_epoch"]
    print(f"held-out accuracy {100 * accuracy:.1f} % after {epoch} epochs, best epoch {best_epoch}")
    return accuracy


def save_weights(model: nn.Module, path: Path) -> None:
    """Save weights that `torch.load` can read without running code from the file."""
    torch.save(model.state_dict(), path)


if __name__ == "__main__":
    main()
