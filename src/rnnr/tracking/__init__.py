"""What a run tells trackers, as TensorBoard and MLflow, and searches, as Optuna."""

from rnnr.tracking._log_to import Bridge, log_to
from rnnr.tracking._prune import Prune
from rnnr.tracking._tensorboard import TensorBoard

__all__ = ["Bridge", "Prune", "TensorBoard", "log_to"]
