"""What a run tells, passed on to trackers: TensorBoard, MLflow, Weights & Biases and others."""

from rnnr.tracking._log_to import Bridge, log_to
from rnnr.tracking._tensorboard import TensorBoard

__all__ = ["Bridge", "TensorBoard", "log_to"]
