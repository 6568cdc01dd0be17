"""Carry what belongs to a thread to a new thread: context variables, library settings."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from contextvars import copy_context
from functools import partial
from typing import Any, Final, TypeAlias

__all__ = ["as_owner"]

Switch: TypeAlias = Callable[[], AbstractContextManager[object]]
"""Makes a context in which a new thread has one setting of the thread that it was read on."""


def as_owner(function: Callable[[], object]) -> Callable[[], object]:
    """Return a function that runs another one, on a new thread, as the caller would run it now.

    It sees a copy of the caller's context variables, and the present settings of NumPy and
    PyTorch, if they are loaded. The caller does not see its changes.

    Args:
        function: Function to run.
    """
    context, switches = copy_context(), list(_switches())

    def run() -> None:
        with ExitStack() as stack:
            for switch in switches:
                with suppress(Exception):  # a module that only looks like the library
                    stack.enter_context(switch())
            function()

    return partial(context.run, run)


def _switches() -> Iterator[Switch]:
    for name, readers in _READERS.items():
        module = sys.modules.get(name)
        for reader in readers if module is not None else ():
            with suppress(Exception):  # not in this version, or the module is half imported
                yield reader(module)


def _decimals(decimal: Any) -> Switch:
    # The context variable holds a mutable context: copy it, or two threads would share it.
    switch: Switch = decimal.localcontext
    return switch


def _errors(numpy: Any) -> Switch:
    # One for each thread in NumPy 1, a context variable from NumPy 2 on.
    return partial(numpy.errstate, **numpy.geterr())


def _inference(torch: Any) -> Switch:
    return partial(torch.inference_mode, torch.is_inference_mode_enabled())


def _gradients(torch: Any) -> Switch:
    return partial(torch.set_grad_enabled, torch.is_grad_enabled())


def _device(torch: Any) -> Switch:
    device = torch.get_default_device()  # by `with` or by set_default_device
    # The CPU is the default, and the switch would slow each call down a little.
    return nullcontext if device.type == "cpu" else partial(torch.device, device)


def _autocast(torch: Any) -> Switch:
    settings = []
    for kind in _AUTOCAST:
        with suppress(Exception):
            settings.append((kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)))
    uses_cache = torch.is_autocast_cache_enabled()

    @contextmanager
    def switch() -> Iterator[None]:  # nothing to undo: the thread ends
        for kind, is_enabled, dtype in settings:
            torch.set_autocast_enabled(kind, is_enabled)
            torch.set_autocast_dtype(kind, dtype)
        torch.set_autocast_cache_enabled(uses_cache)
        yield

    return switch


def _stream(torch: Any) -> Switch:
    # The stream sets its device, too. Do not initialize CUDA for this alone.
    if not torch.cuda.is_initialized():
        return nullcontext
    return partial(torch.cuda.stream, torch.cuda.current_stream())


_AUTOCAST: Final = ("cpu", "cuda", "mps", "xpu", "hpu", "mtia", "maia", "xla")

_READERS: Final[dict[str, tuple[Callable[[Any], Switch], ...]]] = {
    "decimal": (_decimals,),
    "numpy": (_errors,),
    # Inference first: it sets the gradients, too. torch.nn.parallel uses the same order.
    "torch": (_inference, _gradients, _device, _autocast, _stream),
}
