"""`Attachment`: what all of them promise, ours and the user's."""

import gc
import subprocess
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from reactivex.abc import DisposableBase

from helpers.parts import ATTACHMENTS
from rnnr import Event, Runner
from rnnr.attachments import (
    Attachment,
)
from rnnr.state import State

each_attachment = pytest.mark.parametrize("make", ATTACHMENTS.values(), ids=ATTACHMENTS)


@each_attachment
def test_attaching_gives_a_disposable_that_detaches_once_and_for_all(
    make: Callable[[], Attachment],
) -> None:
    runner = Runner()
    attached = make().attach_on(runner)
    assert isinstance(attached, DisposableBase)
    attached.dispose()
    attached.dispose()
    for event in Event:
        runner.stream(event).rebuild()
        assert runner.stream(event).handlers == []


@each_attachment
@pytest.mark.parametrize("wrong", [None, Runner, "trainer"])
def test_what_is_no_runner_is_refused(make: Callable[[], Attachment], wrong: Any) -> None:
    expected = r"runner must be a Runner, got .*; write attach_on\(Runner\(\)\)"
    with pytest.raises(TypeError, match=expected):
        make().attach_on(wrong)


@each_attachment
def test_a_runner_is_forgotten_with_what_is_attached(make: Callable[[], Attachment]) -> None:
    runner = Runner()
    attachment = make()
    attachment.attach_on(runner)
    runner.state.update(output=1, stats={"loss": 1}, n_items=1)
    runner.run([1])
    gone = weakref.ref(runner)
    del runner
    gc.collect()
    assert gone() is None


def test_the_base_class_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Attachment()  # type: ignore[abstract]


def test_an_attachment_of_the_user_attaches_callbacks() -> None:
    class Announcer(Attachment):
        def attach_on(self, runner: Runner) -> DisposableBase:
            return runner.on(Event.BATCH, self.announce)

        def announce(self, state: State) -> None:
            story.append(state["batch"])

    story: list[object] = []
    runner = Runner()
    attached = Announcer().attach_on(runner)
    runner.run("ab")
    attached.dispose()
    runner.run("c")
    assert story == ["a", "b"]


def test_importing_them_does_not_import_tqdm_and_making_a_bar_of_another_class_does_not() -> None:
    script = """
import sys
from rnnr import Runner
from rnnr.attachments import ProgressBar
class Bar:
    def __init__(self, batches, **kwargs): pass
    def update(self, n): pass
    def close(self): pass
runner = Runner()
ProgressBar(tqdm_cls=Bar).attach_on(runner)
ProgressBar()
runner.run("ab")
print(runner.state["n_iters"], "tqdm" in sys.modules)
"""
    command = [sys.executable, "-c", script]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    assert said.stdout == "2 False\n"


@each_attachment
def test_what_attaching_gave_may_be_disposed_of_when_the_runner_is_gone(
    make: Callable[[], Attachment],
) -> None:
    runner = Runner()
    attached: Any = make().attach_on(runner)
    del runner
    gc.collect()
    attached.dispose()
