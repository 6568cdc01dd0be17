"""The training as two loops, with PyTorch and tqdm alone."""

import math

import torch
from task import loaders, new_model
from torch.nn.functional import cross_entropy
from tqdm import tqdm


def train(folder):
    train_loader, valid_loader = loaders()
    model = new_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    best_loss, failures = math.inf, 0

    for epoch in range(1, 41):
        model.train()
        bar = tqdm(train_loader, desc=f"epoch {epoch}", leave=False)
        for inputs, targets in bar:
            loss = cross_entropy(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            bar.set_postfix(loss=loss.item())

        model.eval()
        total = 0.0
        with torch.no_grad():
            for inputs, targets in valid_loader:
                total += cross_entropy(model(inputs), targets, reduction="sum").item()
        valid_loss = total / len(valid_loader.dataset)

        if valid_loss < best_loss:
            best_loss, failures = valid_loss, 0
            torch.save(model.state_dict(), folder / "best.pt")
        else:
            failures += 1
            if failures == 5:
                break

    model.load_state_dict(torch.load(folder / "best.pt"))
    return epoch, best_loss, model
