"""What an install of each library brings, and how long its import takes.

    python tests/benchmarks/side_by_side/installs.py

The packages are those that are installed here: what the library requires, what that requires, and
so on, without what PyTorch or NumPy bring anyway. The megabytes are the sizes of their files. The
time is the processor time of importing the library and what the training of this folder uses of it,
in a fresh process, after PyTorch; it is the least of three. It prints a table of
docs/explanation/why.md.
"""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LIBRARIES = {
    "pytorch-ignite": "import ignite.engine, ignite.handlers, ignite.metrics",
    "Lightning": "import lightning, lightning.pytorch.callbacks",
    "skorch": "import skorch.callbacks",
    "Keras": "import keras, keras.callbacks",
    "accelerate": "import accelerate",
    "rnnr": "import rnnr, rnnr.attachments, rnnr.callbacks, rnnr.durable",
}
TIMED = """
import os, time
os.environ["KERAS_BACKEND"] = "torch"
import torch
began = time.process_time()
{}
print(time.process_time() - began)
"""


def closure(name):
    """Return the packages that an install of one brings, itself among them, by their names."""
    found, todo = {}, [name]
    while todo:
        name = canonicalize_name(todo.pop())
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # for another platform
            continue
        for line in found[name].requires or []:
            requirement = Requirement(line)
            if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
                todo.append(requirement.name)
    return found


def megabytes(package):
    paths = {package.locate_file(file) for file in package.files or []}
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def seconds(line):
    command = [sys.executable, "-c", TIMED.format(line)]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(3)]
    return min(float(run.stdout) for run in runs)


def main():
    brought = {*closure("torch"), *closure("numpy")}
    print("| | version | packages | MB | import |")
    print("|---|---|--:|--:|--:|")
    for name, line in LIBRARIES.items():
        packages = closure(name)
        version = packages[canonicalize_name(name)].version
        more = [package for each, package in packages.items() if each not in brought]
        size = sum(map(megabytes, more))
        print(f"| {name} | {version} | {len(more)} | {size:.1f} | {seconds(line):.1f} s |")


if __name__ == "__main__":
    main()
