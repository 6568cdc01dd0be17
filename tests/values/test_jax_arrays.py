"""Arrays of JAX itself come back as they were, in a process of their own.

Once JAX has worked in a process, a fork of it warns, as a loader of PyTorch with workers does.
"""

import subprocess
import sys

import pytest

from helpers.paths import TESTS

pytest.importorskip("jax")

PROGRAM = """
import sys

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, sys.argv[1])
from helpers.values import through


def check(value):
    read = through(value)
    assert (read.dtype, read.shape, read.weak_type) == (value.dtype, value.shape, value.weak_type)
    assert np.asarray(read).tobytes() == np.asarray(value).tobytes(), value
    return read


for dtype in ("float32", "bfloat16", "int8", "bool", "complex64"):
    check(jnp.asarray(np.arange(6).reshape(2, 3), dtype))

for number, shape in ((0.5, (3,)), (3, ()), (float("nan"), (2, 1)), (2j, (0, 2))):
    value = jnp.full(shape, number)
    assert value.weak_type
    check(value)

half = jnp.ones(3, "bfloat16")
assert (through(jnp.full(3, 0.5)) * half).dtype == half.dtype

for key in (jax.random.key(7), jax.random.key(7, impl="rbg"), jax.random.PRNGKey(7)):
    assert (jax.random.bits(through(key), (3,)) == jax.random.bits(key, (3,))).all()

donated = jnp.zeros(3)
jax.jit(lambda x: x + 1, donate_argnums=0)(donated)
assert donated.is_deleted()
try:
    through(donated)
except RuntimeError as error:
    assert "deleted" in str(error)
else:
    raise AssertionError("an array that was donated has no items to save")
"""


def test_arrays_of_jax_have_the_same_bits_and_the_same_types_afterwards() -> None:
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(TESTS)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
