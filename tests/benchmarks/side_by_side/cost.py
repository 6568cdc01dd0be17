"""What the loop of each library costs a batch, beyond a `for` loop over the same batches.

    python tests/benchmarks/side_by_side/cost.py

The step does nothing, and what a library does by default and can leave out is left out: bars,
logs, checkpoints. The batches are a list of pairs of tensors. Each library runs epochs of 10,000
batches, one to warm up and then nine, which alternate with the loop by hand; the least
processor time of each counts. It prints a table of docs/explanation/why.md.
"""

import contextlib
import gc
import io
import os
import warnings
from time import process_time

os.environ["KERAS_BACKEND"] = "torch"

import torch

N_BATCHES, N_ROUNDS = 10_000, 9
BATCHES = [(torch.zeros(1, 1), torch.zeros(1, 1)) for _ in range(N_BATCHES)]


def nothing(batch):
    pass


def by_hand():
    def run():
        for batch in BATCHES:
            nothing(batch)

    return run


def with_ignite():
    from ignite.engine import Engine

    engine = Engine(lambda engine, batch: None)
    return lambda: engine.run(BATCHES, max_epochs=1)


def with_lightning():
    import lightning

    class Nothing(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch):
            pass

        def configure_optimizers(self):
            pass

    def run():
        trainer = lightning.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Nothing(), BATCHES)

    return run


def with_skorch():
    from skorch import NeuralNet

    class Nothing(NeuralNet):
        def train_step(self, batch, **fit_params):
            return {"loss": torch.zeros(()), "y_pred": None}

    net = Nothing(
        torch.nn.Identity,
        criterion=torch.nn.MSELoss,
        optimizer=None,
        train_split=None,
        iterator_train=lambda dataset, **settings: BATCHES,
        callbacks=None,
        verbose=0,
        max_epochs=1,
    )
    net.set_params(callbacks__print_log=None)
    net.initialize_optimizer = lambda *args, **kwargs: net
    net.initialize()
    return lambda: net.partial_fit(torch.zeros(1, 1), torch.zeros(1, 1))


def with_keras():
    import keras

    class Nothing(keras.Model):
        def call(self, inputs):
            return inputs

        def train_step(self, data):
            return {}

    model = Nothing()
    model(torch.zeros(1, 1))
    model.compile(run_eagerly=True)

    class Batches(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(BATCHES)

    loader = torch.utils.data.DataLoader(Batches(), batch_size=None)
    return lambda: model.fit(loader, shuffle=False, verbose=0)


def with_keras_loader():
    class Batches(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(BATCHES)

    loader = torch.utils.data.DataLoader(Batches(), batch_size=None)

    def run():
        for batch in loader:
            nothing(batch)

    return run


def with_rnnr():
    from rnnr import Event, Runner

    runner = Runner()
    runner.on(Event.BATCH, lambda state: None)
    return lambda: runner.run(BATCHES)


def seconds(run):
    gc.collect()
    began = process_time()
    run()
    return process_time() - began


def main():
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    bare = by_hand()
    print("| | µs a batch beyond the loop by hand |")
    print("|---|--:|")
    for name, make in {
        "by hand": by_hand,
        "rnnr": with_rnnr,
        "pytorch-ignite": with_ignite,
        "skorch": with_skorch,
        "Lightning": with_lightning,
        "Keras": with_keras,
        "the loader that Keras needs": with_keras_loader,
    }.items():
        out, err = contextlib.redirect_stdout, contextlib.redirect_stderr
        with out(io.StringIO()), err(io.StringIO()):
            run = make()
            run()
            rounds = [(seconds(run), seconds(bare)) for _ in range(N_ROUNDS)]
        with_it, without = map(min, zip(*rounds, strict=True))
        cost = (with_it - without) / N_BATCHES * 1e6
        print(f"| {name} | {cost:.2f} |", flush=True)


if __name__ == "__main__":
    main()
