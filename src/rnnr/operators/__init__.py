"""Operators over streams of states and of values, and `pipeline`, which makes a callback of them.

They combine freely with those of ``reactivex.operators``: ``stream.pipe(select("loss"),
ops.pairwise())``. `fold` and `save_file` remember in the state. What the others remember between
items (`every`, `chunk`, `running_mean`, `ema`, `improved`, `patience`, `throughput`) belongs to the
subscription: it goes on from run to run, and is lost with the process.
"""

from rnnr._pipeline import Operator, Pipeline
from rnnr.operators._all_but_newest import all_but_newest
from rnnr.operators._chunk import chunk
from rnnr.operators._delete_files import delete_files
from rnnr.operators._do import do
from rnnr.operators._ema import ema
from rnnr.operators._every import every
from rnnr.operators._fold import fold
from rnnr.operators._frozen import frozen
from rnnr.operators._improved import improved
from rnnr.operators._isolate import isolate
from rnnr.operators._patience import patience
from rnnr.operators._pipeline import pipeline
from rnnr.operators._running_mean import running_mean
from rnnr.operators._save_file import save_file
from rnnr.operators._select import select
from rnnr.operators._states import states
from rnnr.operators._stop import stop
from rnnr.operators._throughput import throughput
from rnnr.operators._when import when

__all__ = [
    "Operator",
    "Pipeline",
    "all_but_newest",
    "chunk",
    "delete_files",
    "do",
    "ema",
    "every",
    "fold",
    "frozen",
    "improved",
    "isolate",
    "patience",
    "pipeline",
    "running_mean",
    "save_file",
    "select",
    "states",
    "stop",
    "throughput",
    "when",
]
