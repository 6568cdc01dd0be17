"""Runs in an asyncio program: await them, and iterate over what they emit."""

from rnnr.aio._items import Items, aiterate
from rnnr.aio._runs import aresume, arun

__all__ = ["Items", "aiterate", "aresume", "arun"]
