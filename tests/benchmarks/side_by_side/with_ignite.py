"""The training with pytorch-ignite."""

import torch
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.handlers import EarlyStopping, ModelCheckpoint, ProgressBar
from ignite.metrics import Loss
from task import loaders, new_model
from torch.nn.functional import cross_entropy


def train(folder):
    train_loader, valid_loader = loaders()
    model = new_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    trainer = create_supervised_trainer(model, optimizer, cross_entropy)
    evaluator = create_supervised_evaluator(model, {"loss": Loss(cross_entropy)})
    ProgressBar().attach(trainer, output_transform=lambda loss: {"loss": loss})

    @trainer.on(Events.EPOCH_COMPLETED)
    def validate():
        evaluator.run(valid_loader)

    def score(engine):
        return -engine.state.metrics["loss"]

    saved = ModelCheckpoint(folder, "best", score_function=score, n_saved=1)
    evaluator.add_event_handler(Events.COMPLETED, saved, {"model": model})
    early = EarlyStopping(patience=5, score_function=score, trainer=trainer)
    evaluator.add_event_handler(Events.COMPLETED, early)

    trainer.run(train_loader, max_epochs=40)
    model.load_state_dict(torch.load(saved.last_checkpoint))
    return trainer.state.epoch, -early.best_score, model
