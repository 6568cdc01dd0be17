"""Models in eval mode for a while."""

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rnnr._errors import wrong_type

__all__ = ["check_models", "modes_of", "no_gradients", "restore_modes"]

_Modes = list[tuple[Any, Any]]


def check_models(model: Any) -> Sequence[Any]:
    """Return the models that an argument names: none, one, or several.

    Raises:
        TypeError: If one of them has no ``eval()`` or no ``train()``.
    """
    models = model if isinstance(model, list | tuple) else [] if model is None else [model]
    for one in models:
        methods = (getattr(one, name, None) for name in ("eval", "train"))
        if isinstance(one, type) or not all(map(callable, methods)):
            cure = "pass the model itself, or leave it out where there is no mode to change"
            raise wrong_type("model", "an object with eval() and train()", one, cure)
    return [*models]


def modes_of(models: Iterable[Any]) -> _Modes:
    """Return every module of the models with its mode, a module before those inside of it.

    A module without ``training``, such as an optimizer that has modes, counts as in training mode.
    """
    return [(one, getattr(one, "training", True)) for model in models for one in _modules_of(model)]


def restore_modes(modes: _Modes) -> None:
    """Put every module back into its mode.

    ``train(mode)`` of a module may do more than to set the mode, and sets that of all inside of it.
    So it is called from the outside to the inside where a mode is wrong, and what it has set
    otherwise is set at last.
    """
    for module, mode in modes:
        if not hasattr(module, "training"):
            module.train()
        elif module.training != mode:
            module.train(mode)
    for module, mode in modes:
        if getattr(module, "training", mode) != mode:
            module.training = mode


def no_gradients(models: Iterable[Any]) -> Callable[[], AbstractContextManager[object]]:
    """Return what makes the context in which models of PyTorch compute no gradients."""
    nn, torch = sys.modules.get("torch.nn"), sys.modules.get("torch")
    if nn is not None and any(isinstance(model, nn.Module) for model in models):
        found: Callable[[], AbstractContextManager[object]] = torch.no_grad  # type: ignore[union-attr]
        return found
    return nullcontext


def _modules_of(model: Any) -> Iterable[Any]:
    modules = getattr(model, "modules", None)
    return modules() if callable(modules) and hasattr(model, "training") else [model]
