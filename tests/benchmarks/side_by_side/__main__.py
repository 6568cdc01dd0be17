"""One training, six times: by hand, with four other libraries, and with rnnr.

    python tests/benchmarks/side_by_side

It prints the table of docs/explanation/why.md: how many epochs each took, the best validation loss,
the accuracy of the best model, whether its weights are those of the loop by hand, and the lines of
code. With ``--json`` it prints the numbers for a test.
"""

import contextlib
import io
import json
import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from task import digits

MODULES = {
    "by hand": "by_hand",
    "pytorch-ignite": "with_ignite",
    "Lightning": "with_lightning",
    "skorch": "with_skorch",
    "Keras": "with_keras",
    "rnnr": "with_rnnr",
}


def n_lines(module):
    """Return how many lines of a file hold code; each docstring in it has one line."""
    lines = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8").splitlines()
    return sum(not line.strip().startswith(('"""', "#")) for line in lines if line.strip())


def results():
    """Train with each library; return a row for each."""
    torch.set_num_threads(1)  # sums come out the same
    _, validation = digits()
    inputs, targets = validation.tensors
    weights, rows = {}, {}
    for name, module in MODULES.items():
        with TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            n_epochs, best_loss, model = import_module(module).train(Path(folder))
        model.eval()
        with torch.no_grad():
            accuracy = (model(inputs).argmax(1) == targets).float().mean().item()
        weights[name] = [weight.detach() for weight in model.parameters()]
        rows[name] = {
            "epochs": n_epochs,
            "loss": float(best_loss),
            "accuracy": accuracy,
            "same weights": name != "Keras"
            and all(map(torch.equal, weights["by hand"], weights[name])),
            "lines": n_lines(module),
        }
    return rows


def main():
    """Print the table."""
    rows = results()
    if "--json" in sys.argv:
        print(json.dumps(rows))
        return
    print("| | epochs | best validation loss | accuracy | the weights of by hand | lines of code |")
    print("|---|--:|--:|--:|---|--:|")
    for name, row in rows.items():
        same = "yes" if row["same weights"] else "no"
        numbers = f"{row['epochs']} | {row['loss']:.6f} | {100 * row['accuracy']:.1f} %"
        print(f"| {name} | {numbers} | {same} | {row['lines']} |")


if __name__ == "__main__":
    main()
