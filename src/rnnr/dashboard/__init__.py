"""A page in the browser that shows runs live, and controls them."""

from rnnr.dashboard._dashboard import Dashboard

__all__ = ["Dashboard"]
