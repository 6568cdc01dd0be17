"""The examples, run as a reader runs them: each as a program of its own."""

import ast
import json
import os
import random
import re
import runpy
import signal
import subprocess
import sys
import time
from math import inf
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

import pytest
from reactivex import operators as ops

from helpers.paths import EXAMPLES
from rnnr import Event
from rnnr.recording import replay

TESTED = [
    "asyncio_service.py",
    "custom_pipeline.py",
    "dashboard.py",
    "digits.py",
    "jax_digits.py",
    "live_stream.py",
    "reinforcement_learning.py",
    "resume.py",
    "scikit_learn_digits.py",
    "sweep.py",
    "torch_digits.py",
]
EPOCH = r"epoch +\d+: loss \d\.\d{3}, accuracy \d+\.\d %\n"


class Summary(NamedTuple):
    """What the last line of a training says."""

    accuracy: float
    """In percent."""
    n_epochs: int
    best_epoch: int


class Training(NamedTuple):
    """What a training has left."""

    stdout: str
    stderr: str
    out: Path

    @property
    def summary(self) -> Summary:
        return summary_of(self.stdout)


def run(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own, which must succeed."""
    process = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **env},
        capture_output=True,
        encoding="utf-8",
    )
    assert process.returncode == 0, process.stderr
    return process


def train(name: str, seed: int, out: Path) -> Training:
    """Run an example that trains, and keep its best model."""
    pytest.importorskip("sklearn")
    pytest.importorskip("torch" if name.startswith("torch") else "numpy")
    process = run(EXAMPLES / name, "--seed", str(seed), "--out", out)
    return Training(process.stdout, process.stderr, out)


def summary_of(stdout: str) -> Summary:
    """Read the last line of a training."""
    last_line = stdout.splitlines()[-1]
    pattern = r"held-out accuracy (\d+\.\d) % after (\d+) epochs, best epoch (\d+)"
    found = re.fullmatch(pattern, last_line)
    assert found, last_line
    return Summary(float(found[1]), int(found[2]), int(found[3]))


def address_in(line: str) -> str:
    """Read where a dashboard says that it is."""
    found = re.fullmatch(r"The dashboard is at (http://127\.0\.0\.1:\d+/[\w-]{32}/)\n", line)
    assert found, line
    return found[1]


def names(folder: Path) -> list[str]:
    """Return what is in a directory."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Training:
    return train("digits.py", 0, tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def torch_digits(tmp_path_factory: pytest.TempPathFactory) -> Training:
    return train("torch_digits.py", 0, tmp_path_factory.mktemp("torch_digits"))


def test_every_example_is_tested() -> None:
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == TESTED


@pytest.mark.parametrize("name", TESTED)
def test_an_example_tells_at_its_top_how_to_run_it(name: str) -> None:
    docstring = ast.get_docstring(ast.parse((EXAMPLES / name).read_text(encoding="utf-8")))
    assert docstring
    assert f"\n    python examples/{name}" in docstring


def test_digits_recognizes_96_percent_of_the_held_out_digits(digits: Training) -> None:
    assert digits.summary.accuracy >= 96


def test_digits_recognizes_96_percent_under_another_seed_too(
    digits: Training, tmp_path: Path
) -> None:
    other = train("digits.py", 1, tmp_path)
    assert other.summary.accuracy >= 96
    assert other.stdout != digits.stdout


def test_digits_prints_the_same_for_the_same_seed_and_cleans_up_without_a_directory(
    digits: Training, tmp_path: Path
) -> None:
    again = run(EXAMPLES / "digits.py", TMPDIR=str(tmp_path))
    assert again.stdout == digits.stdout
    assert names(tmp_path) == []


def test_digits_keeps_its_best_model_for_any_process(digits: Training) -> None:
    assert names(digits.out) == [f"{digits.summary.best_epoch}_model.pkl"]
    load = "import pickle, sys; print(*pickle.load(open(sys.argv[1], 'rb')))"
    (path,) = digits.out.iterdir()
    assert run("-c", load, path).stdout == "hidden hidden_bias output output_bias\n"


def test_digits_stops_early_or_at_the_last_epoch(digits: Training) -> None:
    _, n_epochs, best_epoch = digits.summary
    assert n_epochs in (best_epoch + 6, 40)  # patience bears 5 failures, the next one stops


def test_digits_prints_a_line_for_each_improvement_and_shows_a_bar(digits: Training) -> None:
    *improvements, _ = digits.stdout.splitlines()
    line = r"epoch ( \d|\d\d): validation loss (\d\.\d{3}), accuracy \d+\.\d %"
    found = [re.fullmatch(line, improvement) for improvement in improvements]
    epochs_and_losses = [(int(each[1]), float(each[2])) for each in found if each]
    epochs, losses = zip(*epochs_and_losses, strict=True)
    assert len(epochs) == len(improvements)
    assert epochs[-1] == digits.summary.best_epoch
    assert sorted(losses, reverse=True) == [*losses]
    assert digits.stderr.lstrip().startswith("training:   0%|")
    assert "RnnrWarning" not in digits.stderr


def test_digits_returns_the_accuracy_that_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    accuracy = runpy.run_path(str(EXAMPLES / "digits.py"))["main"](["--epochs", "1"])
    accuracy_shown, n_epochs, best_epoch = summary_of(capsys.readouterr().out)
    assert (accuracy_shown, n_epochs, best_epoch) == (round(100 * accuracy, 1), 1, 1)


def test_torch_digits_recognizes_96_percent_of_the_held_out_digits(torch_digits: Training) -> None:
    assert torch_digits.summary.accuracy >= 96
    assert "RnnrWarning" not in torch_digits.stderr


def test_torch_digits_prints_the_same_for_the_same_seed(
    torch_digits: Training, tmp_path: Path
) -> None:
    assert train("torch_digits.py", 0, tmp_path).stdout == torch_digits.stdout


def test_torch_digits_keeps_the_weights_of_its_best_model(torch_digits: Training) -> None:
    assert names(torch_digits.out) == [f"{torch_digits.summary.best_epoch}_model.pt"]
    load = "import sys, torch; print(*torch.load(sys.argv[1], weights_only=True))"
    (path,) = torch_digits.out.iterdir()
    assert run("-c", load, path).stdout == "0.weight 0.bias 2.weight 2.bias 6.weight 6.bias\n"


def test_torch_digits_says_what_to_install_where_torch_is_missing() -> None:
    hide = "import runpy, sys; sys.modules['torch'] = None"
    start = "runpy.run_path(sys.argv[1], run_name='__main__')"
    process = run("-c", f"{hide}; {start}", EXAMPLES / "torch_digits.py")
    assert process.stdout == ""
    assert process.stderr == "skipped: this example needs PyTorch; pip install torch\n"


def test_custom_pipeline_tells_of_two_leaps_and_a_stop() -> None:
    process = run("-W", "error", EXAMPLES / "custom_pipeline.py")
    assert process.stderr == ""
    assert process.stdout.splitlines() == [
        "batch 24: a leap to 2.46",
        "batch 58: a leap to 2.16",
        "over at batch 73: the average is 0.195",
    ]


def test_asyncio_service_cancels_its_training_and_goes_on() -> None:
    process = run("-W", "error", EXAMPLES / "asyncio_service.py")
    assert process.stderr == ""
    assert process.stdout.splitlines() == [
        "source: connected",
        "service: the slope is about 3.0, still training",
        "source: disconnected",
        "service: cancelled after 40 batches, running: False",
        "source: connected",
        "source: disconnected",
        "service: resumed; 100 batches, slope 3.000",
    ]


def test_dashboard_shows_its_runs_and_ends_when_somebody_presses_stop() -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("tornado")
    example = [EXAMPLES / "dashboard.py", "--seconds-a-batch", "0", "--epochs", "1000"]
    command = [sys.executable, "-W", "error", *map(str, example)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address, *epochs = (process.stderr.readline() for _ in range(3))
        with urlopen(f"{address_in(address)}data", timeout=60) as answer:
            runs = {run["name"]: run for run in json.load(answer)["runs"]}
        urlopen(Request(f"{address_in(address)}control/stop", method="POST"), timeout=60).close()
        epochs += process.stderr
    assert process.returncode == 0
    epochs.remove("Stopped from the page\n")
    assert all(re.fullmatch(EPOCH, line) for line in epochs)
    assert len(epochs) < 1000
    assert runs["training"]["status"] == "running"
    names = {name: {*run["metrics"]["names"]} for name, run in runs.items()}
    assert {name for name in names["training"] if not name.startswith("system/")} == {
        "loss",
        "accuracy",
        "rate",
    }
    assert runs["validation"]["inside"]
    assert names["validation"] == {"loss", "accuracy"}


def test_dashboard_records_a_training_that_gets_better(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("tornado")
    path = tmp_path / "run.jsonl"
    options = ["--seconds-a-batch", "0", "--epochs", "3", "--record", str(path)]
    process = run("-W", "error", EXAMPLES / "dashboard.py", *options)
    assert process.stdout == ""
    assert len(process.stderr.splitlines()) == 4  # the address, and the epochs
    *_, last_epoch, end = replay(path, inf).pipe(ops.to_list()).run()
    assert (last_epoch.event, end.event) == (Event.EPOCH_FINISHED, Event.FINISHED)
    assert end.metrics["accuracy"] > 0.9


def test_sweep_records_a_training_and_its_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    process = run("-W", "error", EXAMPLES / "sweep.py", "--lr", "0.3")
    assert process.stdout == process.stderr == ""
    whole, part = "lr-0.3-seed-0.jsonl", "lr-0.3-seed-0.validation.jsonl"
    assert names(tmp_path / "runs") == [whole, part]
    first, *_, end = replay(tmp_path / "runs" / whole, inf).pipe(ops.to_list()).run()
    assert (first.config, end.event) == ({"lr": 0.3, "seed": 0}, Event.FINISHED)
    *_, last = replay(tmp_path / "runs" / part, inf).pipe(ops.to_list()).run()
    assert last.is_inside
    assert last.metrics["loss"] < 1


def test_sweep_is_shown_on_its_page_and_has_thirty_lines_at_most() -> None:
    docstring, script = (EXAMPLES / "sweep.py").read_text(encoding="utf-8").split('"""\n\n')
    page = EXAMPLES.parent / "docs" / "howto" / "compare-runs.md"
    assert f"```py\n{script}```\n" in page.read_text(encoding="utf-8")
    assert docstring
    assert sum(map(bool, script.splitlines())) <= 30


def test_the_readme_shows_the_command_and_the_line_of_the_dashboard() -> None:
    readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    _, block = readme.split("\n## Watch it\n")[1].split("```")[:2]
    language, command, line = block.splitlines()
    assert language == "text"
    assert command == "$ pip install '.[dashboard,examples]' && python examples/dashboard.py"
    assert address_in(f"{line}\n")


LIVES = [
    pytest.param(3, 1.0, id="some kills"),
    pytest.param(1000, 0.4, marks=pytest.mark.long, id="kills until it ends"),
]
"""How many processes are killed at most, and after which part of the whole time."""


def end_of_killed(arguments: list[str | Path], n_kills: int, longest: float, seed: int = 0) -> str:
    """Run an example that is killed at random moments; return what the last process has printed."""
    moments = random.Random(seed)
    command = [sys.executable, *map(str, arguments)]
    for _ in range(n_kills):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                stdout, stderr = process.communicate(timeout=moments.uniform(0, longest))
            except subprocess.TimeoutExpired:
                process.kill()
                stdout, stderr = process.communicate()
        if process.returncode != -signal.SIGKILL:  # it may end by itself just before
            assert process.returncode == 0, stderr.decode()
            return stdout.decode()
    return run(*arguments).stdout


@pytest.mark.parametrize(("n_kills", "part"), LIVES)
def test_resume_ends_the_same_however_often_it_is_killed(
    n_kills: int, part: float, tmp_path: Path
) -> None:
    example = EXAMPLES / "resume.py"
    began = time.monotonic()
    undisturbed = run(example, tmp_path / "undisturbed").stdout
    longest = part * (time.monotonic() - began)
    killed = end_of_killed([example, tmp_path / "killed"], n_kills, longest)
    assert killed.splitlines()[-1] == undisturbed.splitlines()[-1]  # each digit of the weights
    again = run(example, tmp_path / "killed")
    assert again.stdout == undisturbed.splitlines(keepends=True)[-1]
    assert again.stderr.startswith("Nothing to run: ")


def test_resume_goes_on_to_more_epochs(tmp_path: Path) -> None:
    example = EXAMPLES / "resume.py"
    undisturbed = run(example, tmp_path / "undisturbed", "--epochs", "3").stdout
    first = run(example, tmp_path / "extended", "--epochs", "1").stdout
    second = run(example, tmp_path / "extended", "--epochs", "3").stdout
    assert first.splitlines()[:1] + second.splitlines() == undisturbed.splitlines()


def test_live_stream_learns_and_tells_of_the_drift() -> None:
    for package in ("river", "paho", "amqtt"):
        pytest.importorskip(package)
    process = run("-W", "error", EXAMPLES / "live_stream.py")
    assert process.stderr == ""
    *lines, last_line = process.stdout.splitlines()
    (drift,) = (line for line in lines if line.startswith("message"))
    found = re.fullmatch(r"message (\d+): drift, error \d+\.\d", drift)
    assert found
    assert 600 < int(found[1]) < 650
    found = re.fullmatch(r"mean error (\d\.\d\d) degrees in the last hundred messages", last_line)
    assert found
    assert float(found[1]) < 0.6  # the noise alone has 0.4


@pytest.fixture(scope="module")
def pole() -> tuple[str, float]:
    """Return what the learning by rewards prints, and its seconds."""
    pytest.importorskip("gymnasium")
    began = time.monotonic()
    process = run("-W", "error", EXAMPLES / "reinforcement_learning.py")
    return process.stdout, time.monotonic() - began


def return_in(stdout: str) -> float:
    """Read the last line of a learning by rewards."""
    last_line = stdout.splitlines()[-1]
    pattern = r"mean return (\d+\.\d) in 20 other episodes, after \d+ of training"
    found = re.fullmatch(pattern, last_line)
    assert found, last_line
    return float(found[1])


def test_reinforcement_learning_balances_the_pole_under_two_seeds(pole: tuple[str, float]) -> None:
    other = run("-W", "error", EXAMPLES / "reinforcement_learning.py", "--seed", "5").stdout
    assert min(return_in(pole[0]), return_in(other)) >= 475
    assert pole[0] != other


@pytest.mark.parametrize(
    ("n_kills", "part"),
    [
        pytest.param(1, 1.0, id="a kill"),
        pytest.param(1000, 0.9, marks=pytest.mark.long, id="kills until it ends"),
    ],
)
def test_reinforcement_learning_ends_the_same_however_often_it_is_killed(
    pole: tuple[str, float], n_kills: int, part: float, tmp_path: Path
) -> None:
    example: list[str | Path] = [EXAMPLES / "reinforcement_learning.py", "--seed", "0"]
    killed = end_of_killed([*example, "--snapshots", tmp_path], n_kills, part * pole[1])
    assert killed.splitlines()[-1] == pole[0].splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "epochs", "n_kills", "part"),
    [
        pytest.param("digits.py", 4, 1, 1.0, id="digits"),
        pytest.param("torch_digits.py", 2, 1, 1.0, marks=pytest.mark.long, id="torch_digits"),
        pytest.param("digits.py", 40, 1000, 0.4, marks=pytest.mark.long, id="digits until it ends"),
        pytest.param(
            "torch_digits.py", 40, 1000, 0.6, marks=pytest.mark.long, id="torch until it ends"
        ),
    ],
)
def test_digits_ends_the_same_however_often_it_is_killed(
    name: str, epochs: int, n_kills: int, part: float, tmp_path: Path
) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("torch" if name.startswith("torch") else "numpy")
    example: list[str | Path] = [EXAMPLES / name, "--epochs", str(epochs)]
    began = time.monotonic()
    undisturbed = run(*example, "--out", tmp_path / "undisturbed").stdout
    longest = part * (time.monotonic() - began)
    example += ["--snapshots", tmp_path / "killed"]
    killed = end_of_killed(example, n_kills, longest)
    assert summary_of(killed) == summary_of(undisturbed)
    assert best_model(tmp_path / "killed") == best_model(tmp_path / "undisturbed")
    assert run(*example).stdout == killed.splitlines(keepends=True)[-1]


def test_jax_digits_learns_and_stops_early_or_at_the_last_epoch() -> None:
    for package in ("jax", "optax", "sklearn"):
        pytest.importorskip(package)
    process = run("-W", "error", EXAMPLES / "jax_digits.py", "--epochs", "3")
    accuracy, n_epochs, best_epoch = summary_of(process.stdout)
    assert accuracy > 90
    assert n_epochs == 3 >= best_epoch
    assert len(process.stdout.splitlines()) == 4


def test_scikit_learn_digits_keeps_the_best_pipeline(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    example = EXAMPLES / "scikit_learn_digits.py"
    process = run("-W", "error", example, "--epochs", "3", "--out", tmp_path)
    accuracy, _, best_epoch = summary_of(process.stdout)
    assert accuracy > 90
    assert names(tmp_path) == [f"{best_epoch}_model.joblib"]


@pytest.mark.long
@pytest.mark.parametrize("name", ["jax_digits.py", "scikit_learn_digits.py"])
def test_a_training_in_a_framework_ends_the_same_however_often_it_is_killed(
    name: str, tmp_path: Path
) -> None:
    pytest.importorskip("optax" if name.startswith("jax") else "sklearn")
    example: list[str | Path] = [EXAMPLES / name]
    began = time.monotonic()
    undisturbed = run(*example).stdout
    longest = 0.9 * (time.monotonic() - began)
    killed = end_of_killed([*example, "--snapshots", tmp_path / "killed"], 1000, longest)
    assert summary_of(killed) == summary_of(undisturbed)


def best_model(folder: Path) -> tuple[str, bytes]:
    """Return the name and the bytes of the model that a training has kept."""
    (path,) = folder.glob("*_model.*")
    return path.name, path.read_bytes()


def test_the_picture_in_the_readme_is_what_the_main_job_shows(digits: Training) -> None:
    def shape(line: str) -> str:
        return re.sub(r"[\d.]+|[█▏▎▍▌▋▊▉]+| {2,}", "#", line.strip())

    readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    picture = readme.split("```text\n")[1].split("```")[0].splitlines()
    assert picture[0] == "$ python examples/digits.py"
    shown = {shape(line) for line in re.split(r"[\r\n]", digits.stdout + digits.stderr)}
    assert {shape(line) for line in picture[1:] if line != "..."} <= shown
