"""When values have stopped getting better: the rules, on plain values."""

from collections.abc import Callable
from math import inf, isnan
from typing import Final, TypeAlias

from rnnr._errors import as_number, check_choice, wrong_value

__all__ = ["MODES", "MODE_CURE", "Rule", "check_patience", "failures_in_a_row", "improvement_rule"]

Rule: TypeAlias = Callable[[float | None, float, int], bool | None]
"""Takes the best so far, a value and its number; returns whether it is better, None to drop it."""

MODES: Final = ("min", "max")
MODE_CURE: Final = "'min' is for a loss, 'max' for an accuracy; patience has its own name"
_POLICIES: Final = ("raise", "ignore", "no-improvement")


def improvement_rule(part: str, mode: str, min_delta: float, nan: str) -> Rule:
    """Make the rule that decides whether a value is better than the best so far.

    Args:
        part: Name of the caller, for the message about a NaN.
        mode: Whether less is better (``"min"``) or more (``"max"``).
        min_delta: By how much more than this a value has to be better.
        nan: What a NaN is: an error (``"raise"``), nothing (``"ignore"``), or a value that is
            not better (``"no-improvement"``).

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If ``mode`` or ``nan`` is unknown, or ``min_delta`` is negative or infinite.
    """
    check_choice("mode", mode, MODES, MODE_CURE)
    check_choice("nan", nan, _POLICIES, "'no-improvement' counts it as a failure")
    expected = "a finite number of 0 or more"
    cure = "pass 0.0 to count any improvement"
    delta = as_number("min_delta", min_delta, expected, lambda x: 0 <= x < inf, cure)
    sign = 1 if mode == "min" else -1

    def rule(best: float | None, value: float, number: int) -> bool | None:
        if isnan(value):
            if nan == "raise":
                cure = "find out what made it, or pass nan='ignore' or nan='no-improvement'"
                raise wrong_value(f"value {number} for {part}", "a number", value, cure)
            return None if nan == "ignore" else False
        return best is None or sign * value < sign * best - delta

    return rule


def failures_in_a_row(count: int, failed: bool) -> int:
    """Return the count of failures in a row after one more outcome."""
    return count + 1 if failed else 0


def check_patience(name: str, got: object) -> None:
    """Raise unless it is a number of 0 or more."""
    expected = "a number of 0 or more"
    cure = "pass a number of failures to bear; 0 stops at the first failure"
    as_number(name, got, expected, lambda n: n >= 0, cure)
