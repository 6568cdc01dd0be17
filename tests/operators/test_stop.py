"""`stop` ends the run that a state belongs to."""

from reactivex import operators as ops

from rnnr import Event, Runner
from rnnr.operators import Operator, pipeline, select, stop, when
from rnnr.state import State


def test_it_stops_the_run_and_skips_what_is_still_to_come_of_the_event() -> None:
    story: list[object] = []
    runner = Runner()
    found: Operator = ops.filter(lambda state: state["batch"] == 2)
    runner.on(Event.BATCH, lambda state: story.append(state["batch"]))
    runner.on(Event.BATCH, pipeline(found, stop()))
    runner.on(Event.BATCH, lambda state: story.append(f"after {state['batch']}"))
    runner.on(Event.STOPPED, lambda _: story.append("stopped"))
    runner.run([1, 2, 3])
    assert story == [1, "after 1", 2, "stopped"]


def test_a_resumed_run_goes_on() -> None:
    runner = Runner()
    story: list[int] = []
    runner.stream(Event.BATCH).pipe(stop(), select("batch")).subscribe(story.append)
    runner.run([1, 2, 3])
    runner.resume()
    assert story == [1, 2]


def test_the_state_is_passed_on() -> None:
    state: State = {"running": True, "enough": True}
    seen: list[State] = []
    pipeline(when("enough"), stop(), ops.do_action(seen.append))(state)
    assert state["running"] is False
    assert seen[0] is state


def test_a_run_that_is_not_running_stays_so() -> None:
    state: State = {}
    pipeline(stop())(state)
    assert state == {"running": False}
