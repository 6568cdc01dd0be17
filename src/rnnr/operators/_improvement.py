"""When values have stopped getting better: the rules, on plain values."""

from collections.abc import Callable
from math import frexp, inf, isfinite, isnan, ldexp
from typing import Final, TypeAlias

from rnnr._errors import as_number, check_choice, wrong_type, wrong_value

__all__ = [
    "MODES",
    "MODE_CURE",
    "Limit",
    "Rule",
    "check_patience",
    "failures_in_a_row",
    "improvement_rule",
    "limit_rule",
]

Rule: TypeAlias = Callable[[float | None, float, int], bool | None]
"""Takes the best so far, a value and its number; returns whether it is better, None to drop it."""

Limit: TypeAlias = Callable[[float, int], str | None]
"""Takes a value and the bits of its precision; returns the name of the limit that it is beyond."""

MODES: Final = ("min", "max")
MODE_CURE: Final = "'min' is for a loss, 'max' for an accuracy; patience has its own name"
_POLICIES: Final = ("raise", "ignore", "no-improvement")


def improvement_rule(
    part: str, mode: str, min_delta: float, nan: str, *, min_delta_mode: str = "abs"
) -> Rule:
    """Make the rule that decides whether a value is better than the best so far.

    Args:
        part: Name of the caller, for the message about a NaN.
        mode: Whether less is better (``"min"``) or more (``"max"``).
        min_delta: By how much more than this a value has to be better.
        nan: What a NaN is: an error (``"raise"``), nothing (``"ignore"``), or a value that is
            not better (``"no-improvement"``).
        min_delta_mode: Whether ``min_delta`` is a difference (``"abs"``), or a share of the size of
            the best so far (``"rel"``), of which an infinity has none.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If ``mode``, ``nan`` or ``min_delta_mode`` is unknown, or ``min_delta`` is
            negative or infinite.
    """
    check_choice("mode", mode, MODES, MODE_CURE)
    check_choice("nan", nan, _POLICIES, "'no-improvement' counts it as a failure")
    expected = "a finite number of 0 or more"
    cure = "pass 0.0 to count any improvement"
    delta = as_number("min_delta", min_delta, expected, lambda x: 0 <= x < inf, cure)
    cure = "'rel' is for a share of the best, as 0.01 for 1 %"
    check_choice("min_delta_mode", min_delta_mode, ("abs", "rel"), cure)
    sign = 1 if mode == "min" else -1
    is_share = min_delta_mode == "rel"

    def rule(best: float | None, value: float, number: int) -> bool | None:
        if isnan(value):
            if nan == "raise":
                cure = "find out what made it, or pass nan='ignore' or nan='no-improvement'"
                raise wrong_value(f"value {number} for {part}", "a number", value, cure)
            return None if nan == "ignore" else False
        if best is None:
            return True
        size = delta * abs(best) if is_share and isfinite(best) else delta
        return sign * value < sign * best - size

    return rule


def limit_rule(
    mode: str,
    check_finite: bool,
    stopping_threshold: float | None,
    divergence_threshold: float | None,
) -> Limit:
    """Make the rule that decides whether a value is beyond a limit.

    A threshold is compared in the precision of the value: in single precision, 0.9 is a little less
    than in double precision, and has reached a threshold of 0.9 all the same.

    Args:
        mode: Whether less is better (``"min"``) or more (``"max"``).
        check_finite: Whether a NaN or an infinity is.
        stopping_threshold: A value that is as good, or better, is, if it is given.
        divergence_threshold: A value that is worse is, if it is given.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a threshold is not finite, or every value would be beyond one of them.
    """
    if not isinstance(check_finite, bool):
        cure = "True stops at a NaN or an infinity"
        raise wrong_type("check_finite", "True or False", check_finite, cure)
    sign = 1 if mode == "min" else -1
    wanted = _threshold("stopping_threshold", stopping_threshold, -inf, sign)
    borne = _threshold("divergence_threshold", divergence_threshold, inf, sign)
    if borne <= wanted:
        expected = f"worse than stopping_threshold {stopping_threshold} in mode {mode!r}"
        cure = "each value would stop the run; change the mode or a threshold"
        raise wrong_value("divergence_threshold", expected, divergence_threshold, cure)

    def rule(value: float, bits: int) -> str | None:
        if check_finite and not isfinite(value):
            return "check_finite"
        if stopping_threshold is not None and sign * value <= _in_bits(wanted, bits):
            return "stopping_threshold"
        return "divergence_threshold" if sign * value > _in_bits(borne, bits) else None

    return rule


def _threshold(name: str, got: object, otherwise: float, sign: int) -> float:
    """Return a threshold for values of which less is better."""
    if got is None:
        return otherwise
    cure = "pass a value of the metric, or None for no threshold"
    return sign * as_number(name, got, "a finite number", isfinite, cure)


def _in_bits(number: float, bits: int) -> float:
    """Return a number rounded to so many binary digits."""
    if not isfinite(number):
        return number
    digits, exponent = frexp(number)
    return ldexp(round(ldexp(digits, bits)), exponent - bits)


def failures_in_a_row(count: int, failed: bool) -> int:
    """Return the count of failures in a row after one more outcome."""
    return count + 1 if failed else 0


def check_patience(name: str, got: object) -> None:
    """Raise unless it is a number of 0 or more."""
    expected = "a number of 0 or more"
    cure = "pass a number of failures to bear; 0 stops at the first failure"
    as_number(name, got, expected, lambda n: n >= 0, cure)
