"""The page on JAX runs in a process of its own: once JAX has worked in one, a fork of it warns.

Other tests fork, as a loader of PyTorch with workers does.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.paths import page


def test_each_block_of_the_page_runs_from_top_to_bottom(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    pytest.importorskip("optax")
    text = page("jax").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    assert blocks
    assert ">>>" not in text  # the output of a block is not compared
    script = tmp_path / "jax_page.py"
    script.write_text("\n\n".join(blocks), encoding="utf-8")
    command = [sys.executable, "-W", "error", str(script)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("1 ")  # a line an epoch
