"""A page in the browser that shows runs while they go on, and steers them."""

from rnnr.dashboard._dashboard import Dashboard

__all__ = ["Dashboard"]
