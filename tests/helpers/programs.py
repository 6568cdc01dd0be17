"""Programs that pages show as a whole, run as a reader runs them."""

from pathlib import Path
from typing import Any

import pytest

__all__ = ["failing_at", "run_program"]


def run_program(source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the text of a program in a folder of its own; return its variables."""
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    variables: dict[str, Any] = {}
    exec(compile(source, "train.py", "exec"), variables)
    return variables


def failing_at(n_iters: int, source: str) -> str:
    """Let a program whose last line runs its runner fail at a batch."""
    *lines, last = source.splitlines()
    runner, _, call = last.partition(".")
    assert call.startswith("run(")
    where = f"Event.BATCH.where(lambda state: state['n_iters'] == {n_iters})"
    return "\n".join([*lines, f"{runner}.on({where}, lambda state: 1 / 0)", last])
