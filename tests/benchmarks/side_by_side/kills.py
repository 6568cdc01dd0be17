"""What is left of a run that is killed in the midst of an epoch, with each library.

    pip install accelerate torchdata
    python tests/benchmarks/side_by_side/kills.py

Each library trains for three epochs, in a process of its own, with the checkpoints that its
documentation shows: every fifth batch where it can, else after each epoch. The process kills itself
by SIGKILL in the midst of the second epoch. The same command is started again, and its last weights
are compared with those of a run that was not killed. It prints a table of docs/explanation/why.md.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from task import digits, new_model
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

N_EPOCHS, EVERY, KILL_AT = 3, 5, 19  # an epoch has eleven batches


class Killer:
    """Counts the batches that the model is trained on, and kills the process at one of them."""

    def __init__(self, at):
        self.at = at
        self.n_batches = 0

    def __call__(self, module, inputs):
        if module.training:
            self.n_batches += 1
            if self.n_batches == self.at:
                os.kill(os.getpid(), signal.SIGKILL)


def setting(killer, dropout, loader=DataLoader, **settings):
    model = new_model()
    model[2].p = dropout
    model.register_forward_pre_hook(killer)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    return model, optimizer, loader(digits()[0], batch_size=128, shuffle=True, **settings)


def update(model, optimizer, batch):
    inputs, targets = batch
    loss = cross_entropy(model(inputs), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def by_hand(folder, killer, dropout):
    """Saves what PyTorch's tutorial on checkpoints saves."""
    model, optimizer, loader = setting(killer, dropout)
    path, begin = folder / "checkpoint.pt", 0
    if path.exists():
        saved = torch.load(path)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        begin = saved["epoch"] + 1
    for epoch in range(begin, N_EPOCHS):
        for batch in loader:
            update(model, optimizer, batch)
        saved = {"epoch": epoch, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(saved, path)
    return model.parameters()


def with_accelerate(folder, killer, dropout, **settings):
    """Saves by `save_state`, and skips by `skip_first_batches`, as its guide does."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, **settings)
    model, optimizer, loader = accelerator.prepare(*setting(killer, dropout))
    saved = sorted(folder.glob("*"), key=lambda path: int(path.name))
    n_done = 0
    if saved:
        accelerator.load_state(saved[-1])
        n_done = int(saved[-1].name)
    for epoch in range(n_done // len(loader), N_EPOCHS):
        loader.set_epoch(epoch)
        rest = loader
        if n_done // len(loader) == epoch and n_done % len(loader):
            rest = accelerator.skip_first_batches(loader, n_done % len(loader))
        for batch in rest:
            update(model, optimizer, batch)
            n_done += 1
            if n_done % EVERY == 0:
                accelerator.save_state(folder / str(n_done))
    return model.parameters()


def with_accelerate_seedable(folder, killer, dropout):
    from accelerate.utils import DataLoaderConfiguration

    configuration = DataLoaderConfiguration(use_seedable_sampler=True)
    return with_accelerate(folder, killer, dropout, dataloader_config=configuration)


def with_ignite(folder, killer, dropout, *, deterministic=False, **settings):
    from ignite.engine import Engine, Events
    from ignite.engine.deterministic import DeterministicEngine
    from ignite.handlers import Checkpoint, DiskSaver

    model, optimizer, loader = setting(killer, dropout, **settings)
    engine = DeterministicEngine if deterministic else Engine
    trainer = engine(lambda _, batch: update(model, optimizer, batch))
    objects = {"trainer": trainer, "model": model, "optimizer": optimizer}
    saver = DiskSaver(folder, require_empty=False)
    saved = Checkpoint(objects, saver, n_saved=1)
    trainer.add_event_handler(Events.ITERATION_COMPLETED(every=EVERY), saved)
    for path in folder.glob("*.pt"):
        Checkpoint.load_objects(objects, torch.load(path, weights_only=False))
    trainer.run(loader, max_epochs=N_EPOCHS)
    return model.parameters()


def with_ignite_deterministic(folder, killer, dropout):
    return with_ignite(folder, killer, dropout, deterministic=True)


def with_ignite_workers(folder, killer, dropout):
    return with_ignite(folder, killer, dropout, deterministic=True, num_workers=2)


def with_lightning(folder, killer, dropout, loader=DataLoader):
    import lightning
    from lightning.pytorch.callbacks import ModelCheckpoint

    model, optimizer, batches = setting(killer, dropout, loader)

    class Classifier(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = model

        def training_step(self, batch):
            inputs, targets = batch
            return cross_entropy(self.model(inputs), targets)

        def configure_optimizers(self):
            return optimizer

    saved = ModelCheckpoint(folder, every_n_train_steps=EVERY, save_last=True)
    trainer = lightning.Trainer(
        max_epochs=N_EPOCHS,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        callbacks=[saved],
    )
    trainer.fit(Classifier(), batches, ckpt_path="last")
    return model.parameters()


def with_lightning_stateful(folder, killer, dropout):
    from torchdata.stateful_dataloader import StatefulDataLoader

    return with_lightning(folder, killer, dropout, StatefulDataLoader)


def with_skorch(folder, killer, dropout):
    from skorch import NeuralNetClassifier
    from skorch.callbacks import Checkpoint, LoadInitState

    saved = Checkpoint(dirname=folder, monitor=None)
    history = folder / "history.json"
    n_done = len(json.loads(history.read_text())) if history.exists() else 0
    net = NeuralNetClassifier(
        lambda: setting(killer, dropout)[0],
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=0.01,
        max_epochs=N_EPOCHS - n_done,
        batch_size=128,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[saved, LoadInitState(saved)],
        verbose=0,
    )
    net.fit(digits()[0], y=None)
    return net.module_.parameters()


def with_keras(folder, killer, dropout):
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    from keras.callbacks import BackupAndRestore, LambdaCallback

    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(64, activation="relu"),
            layers.Dropout(dropout),
            layers.Dense(10),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    count = LambdaCallback(on_train_batch_begin=lambda batch, logs: killer(model, None))
    model.train()
    backup = BackupAndRestore(str(folder / "backup"), save_freq=EVERY)
    loader = DataLoader(digits()[0], batch_size=128, shuffle=True)
    model.fit(loader, epochs=N_EPOCHS, shuffle=False, verbose=0, callbacks=[backup, count])
    return model.parameters()


def with_rnnr(folder, killer, dropout):
    from rnnr import Event, Runner
    from rnnr.durable import Snapshots

    model, optimizer, loader = setting(killer, dropout)
    runner = Runner()
    runner.on(Event.BATCH, lambda state: update(model, optimizer, state["batch"]))
    every = Event.BATCH.every(EVERY)
    Snapshots(folder, every=every, model=model, optimizer=optimizer).attach_on(runner)
    runner.run(loader, max_epoch=N_EPOCHS)
    return model.parameters()


TRAININGS = {
    "by hand, as in PyTorch's tutorial": by_hand,
    "accelerate": with_accelerate,
    "accelerate, `use_seedable_sampler`": with_accelerate_seedable,
    "pytorch-ignite": with_ignite,
    "pytorch-ignite, `DeterministicEngine`": with_ignite_deterministic,
    "the same, a loader with two workers": with_ignite_workers,
    "Lightning": with_lightning,
    "Lightning, torchdata's `StatefulDataLoader`": with_lightning_stateful,
    "skorch": with_skorch,
    "Keras": with_keras,
    "rnnr": with_rnnr,
}


def child(name, folder, kill_at, dropout):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    killer = Killer(int(kill_at))
    weights = TRAININGS[name](Path(folder), killer, float(dropout))
    flat = torch.cat([weight.detach().flatten() for weight in weights])
    torch.save((flat, killer.n_batches), Path(folder) / "result")


def run(name, folder, kill_at, dropout):
    command = [sys.executable, __file__, name, str(folder), str(kill_at), str(dropout)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if kill_at:
        assert run.returncode == -signal.SIGKILL, run.stderr
        return None
    assert run.returncode == 0, run.stderr
    return torch.load(Path(folder) / "result")


def main():
    print("| | equal weights | the same without dropout | batches after the kill |")
    print("|---|---|---|--:|")
    for name in TRAININGS:
        cells = []
        for dropout in (0.2, 0.0):
            with TemporaryDirectory() as one, TemporaryDirectory() as other:
                expected, _ = run(name, one, 0, dropout)
                run(name, other, KILL_AT, dropout)
                weights, n_batches = run(name, other, 0, dropout)
            difference = (weights - expected).abs().max().item()
            cells.append(f"no, off by {difference:.1g}" if difference else "yes")
        print(f"| {name} | {cells[0]} | {cells[1]} | {n_batches} |", flush=True)


if __name__ == "__main__":
    child(*sys.argv[1:]) if sys.argv[1:] else main()
