"""The training with skorch."""

import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Checkpoint, EarlyStopping, ProgressBar
from skorch.helper import predefined_split
from task import digits, new_model


def train(folder):
    training, validation = digits()
    saved = Checkpoint(dirname=folder)
    net = NeuralNetClassifier(
        new_model,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=0.02,
        max_epochs=40,
        batch_size=128,
        iterator_train__shuffle=True,
        iterator_train__generator=torch.Generator().manual_seed(0),
        iterator_valid__batch_size=450,
        iterator_valid__generator=torch.Generator(),
        train_split=predefined_split(validation),
        callbacks=[
            EarlyStopping(patience=5, threshold=0),
            saved,
            ProgressBar(),
        ],
    )
    net.fit(training, y=None)
    n_epochs, best_loss = len(net.history), min(net.history[:, "valid_loss"])
    net.load_params(checkpoint=saved)
    return n_epochs, best_loss, net.module_
