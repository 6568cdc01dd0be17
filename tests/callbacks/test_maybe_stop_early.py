"""`maybe_stop_early`: the rule, against a reference of one line, and what it leaves behind."""

import logging
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.extras import np
from helpers.published import published
from rnnr import Event, Runner
from rnnr.callbacks import maybe_stop_early
from rnnr.state import State

OLD = published()

OUTCOMES = st.lists(st.booleans(), max_size=12)
PATIENCE = st.integers(0, 4)


def called_until_stopped(callback: Any, outcomes: list[bool]) -> list[State]:
    """Return the state after each call, up to the one that stopped."""
    states: list[State] = []
    state: State = {"running": True}
    for better in outcomes:
        state["better"] = better
        callback(state)
        states.append(dict(state))
        if not state["running"]:
            break
    return states


@given(OUTCOMES, PATIENCE)
def test_it_stops_at_the_first_call_that_ends_more_failures_in_a_row_than_patience(
    outcomes: list[bool], patience: int
) -> None:
    ends = range(patience + 1, len(outcomes) + 1)
    too_many = next((n for n in ends if not any(outcomes[n - patience - 1 : n])), None)
    states = called_until_stopped(maybe_stop_early(patience), outcomes)
    assert len(states) == (too_many or len(outcomes))
    assert [state["running"] for state in states].count(False) == (too_many is not None)


@given(OUTCOMES, PATIENCE)
def test_it_does_what_the_published_one_does(outcomes: list[bool], patience: int) -> None:
    theirs = OLD.callbacks.maybe_stop_early(patience)
    assert called_until_stopped(maybe_stop_early(patience), outcomes) == called_until_stopped(
        theirs, outcomes
    )


def test_a_state_that_no_runner_made_is_stopped() -> None:
    state: State = {"running": True, "better": False}
    maybe_stop_early(patience=0)(state)
    assert state == {"running": False, "better": False, "_counter": 1}


def test_a_run_is_stopped_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    epochs: list[int] = []
    runner = Runner()
    runner.state["better"] = False
    runner.on(Event.EPOCH_FINISHED, lambda state: epochs.append(state["epoch"]))
    runner.on(Event.EPOCH_FINISHED, maybe_stop_early(patience=2))
    runner.run([], max_epoch=9)
    assert epochs == [1, 2, 3]
    assert caplog.record_tuples == [
        ("rnnr.callbacks.early_stopping", logging.INFO, "Patience exceeded, stopping early")
    ]


def test_five_failures_are_borne_by_default() -> None:
    assert len(called_until_stopped(maybe_stop_early(), [False] * 9)) == 6


def test_the_names_of_the_flag_and_of_the_counter_are_arguments() -> None:
    state: State = {"running": True, "improved": 0}
    maybe_stop_early(3, check="improved", counter="bad_epochs")(state)
    assert state == {"running": True, "improved": 0, "bad_epochs": 1}


def test_the_count_goes_on_in_a_state_that_was_pickled() -> None:
    state: State = {"running": True, "better": False}
    maybe_stop_early(1)(state)
    restored = pickle.loads(pickle.dumps(state))
    maybe_stop_early(1)(restored)
    assert (state["running"], restored["running"]) == (True, False)


def test_one_callback_counts_for_two_runners_apart() -> None:
    callback = maybe_stop_early(1)
    one: State = {"running": True, "better": False}
    other = dict(one)
    for state in (one, other):
        callback(state)
    assert one == other == {"running": True, "better": False, "_counter": 1}


def test_a_flag_that_nobody_has_set_is_named_with_the_cure_and_nothing_is_counted() -> None:
    state: State = {"running": True}
    expected = (
        r"state\['better'\] is missing: maybe_stop_early reads it, the state has running; "
        "set it to True or False in an EPOCH_FINISHED callback that is added before this one"
    )
    with pytest.raises(KeyError, match=expected):
        maybe_stop_early()(state)
    assert state.get("_counter", 0) == 0


@pytest.mark.parametrize("patience", [0, 2.5, float("inf"), True, np.int64(3), np.float32(3)])
def test_any_number_that_is_not_negative_will_do(patience: Any) -> None:
    borne = len(called_until_stopped(maybe_stop_early(patience), [False] * 9))
    assert borne == min(9, patience // 1 + 1)


@pytest.mark.parametrize("patience", [-1, -0.5, float("nan")])
def test_a_negative_patience_is_refused(patience: Any) -> None:
    expected = rf"patience must be .* 0 or more, got {patience} .*0 stops at the first"
    with pytest.raises(ValueError, match=expected):
        maybe_stop_early(patience)


@pytest.mark.parametrize("patience", [None, "5", [5]])
def test_a_patience_that_is_no_number_is_refused(patience: Any) -> None:
    with pytest.raises(TypeError, match=r"patience must be .*; pass a number of failures"):
        maybe_stop_early(patience)


@pytest.mark.parametrize("keys", [{"check": 1}, {"counter": None}])
def test_a_key_that_is_no_string_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"key.* must be a string, got"):
        maybe_stop_early(**keys)
