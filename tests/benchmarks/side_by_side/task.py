"""The task of all six: scans of digits, a small network, and what they return."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def digits():
    """Return the scans for the training and those for the validation, with their labels."""
    images, labels = map(torch.tensor, load_digits(return_X_y=True))
    images = images.float() / 16  # pixels were 0 to 16
    return TensorDataset(images[:1347], labels[:1347]), TensorDataset(images[1347:], labels[1347:])


def loaders():
    """Return two loaders; each has a generator, so validating does not reorder the training."""
    training, validation = digits()
    order = torch.Generator().manual_seed(0)
    return (
        DataLoader(training, batch_size=128, shuffle=True, generator=order),
        DataLoader(validation, batch_size=450, generator=torch.Generator()),
    )


def new_model():
    """Return the network, always with the same weights."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))
