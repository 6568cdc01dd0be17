"""A chart of a run in a notebook; it needs anywidget."""

from rnnr.notebook._chart import Chart

__all__ = ["Chart"]
