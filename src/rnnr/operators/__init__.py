"""Operators over streams of states, and `pipeline`, which makes a callback of them.

They combine freely with those of ``reactivex.operators``: ``stream.pipe(select("loss"),
ops.pairwise())``. What one of them remembers between items lives in the state.
"""

from rnnr.operators._fold import fold
from rnnr.operators._pipeline import Operator, Pipeline, pipeline
from rnnr.operators._select import select
from rnnr.operators._stop import stop
from rnnr.operators._when import when

__all__ = ["Operator", "Pipeline", "fold", "pipeline", "select", "stop", "when"]
