"""The training with Lightning."""

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from task import loaders, new_model
from torch.nn.functional import cross_entropy


class Classifier(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = new_model()

    def training_step(self, batch):
        inputs, targets = batch
        loss = cross_entropy(self.model(inputs), targets)
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch):
        inputs, targets = batch
        self.log("valid_loss", cross_entropy(self.model(inputs), targets))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.02)


def train(folder):
    train_loader, valid_loader = loaders()
    saved = ModelCheckpoint(folder, "best", monitor="valid_loss")
    trainer = lightning.Trainer(
        max_epochs=40,
        accelerator="cpu",
        logger=False,
        callbacks=[EarlyStopping("valid_loss", patience=5), saved],
    )
    trainer.fit(Classifier(), train_loader, valid_loader)
    best = Classifier.load_from_checkpoint(saved.best_model_path)
    return trainer.current_epoch, saved.best_model_score.item(), best.model
