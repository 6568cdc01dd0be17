"""The training with rnnr."""

import torch
from task import loaders, new_model
from torch.nn.functional import cross_entropy

from rnnr import Event, Runner
from rnnr.attachments import MeanReducer, ProgressBar
from rnnr.callbacks import checkpoint, early_stopping, evaluate


def train(folder):
    train_loader, valid_loader = loaders()
    model = new_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    trainer, evaluator = Runner(), Runner()

    @trainer.on(Event.BATCH)
    def step(state):
        inputs, targets = state["batch"]
        loss = cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        state["stats"] = {"loss": loss.detach()}

    @evaluator.on(Event.BATCH)
    def measure(state):
        inputs, targets = state["batch"]
        state["output"] = cross_entropy(model(inputs), targets, reduction="sum")
        state["size"] = len(targets)

    losses = []
    ProgressBar(stats="stats").attach_on(trainer)
    MeanReducer("loss").attach_on(evaluator)
    validate = evaluate(evaluator, valid_loader, prefix="valid_", model=model)
    trainer.on(Event.EPOCH_FINISHED, validate)
    trainer.on(Event.EPOCH_FINISHED, lambda state: losses.append(state["valid_loss"]))
    early_stopping("valid_loss", patience=4, restore=model).attach_on(trainer)
    best = checkpoint("model", model, best="valid_loss", under=folder)
    trainer.on(Event.EPOCH_FINISHED, best)

    trainer.run(train_loader, max_epoch=40)
    return len(losses), min(losses), model
