"""A run on the messages of an MQTT broker: errors, reconnects, silence, stops, kills.

The messages come as in `examples/live_stream.py`, from the broker that it starts.
"""

import json
import pickle
import runpy
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import reactivex
from reactivex import operators as ops

from helpers.paths import EXAMPLES, page
from helpers.threads import GUARD, in_thread, until
from rnnr import Event, Runner, State
from rnnr.durable import Snapshots, StopOnSignal
from rnnr.sources import buffered, epochs_of

mqtt = pytest.importorskip("paho.mqtt.client")
pytest.importorskip("amqtt")
pytest.importorskip("river")

EXAMPLE = runpy.run_path(str(EXAMPLES / "live_stream.py"))
messages, own_broker = EXAMPLE["messages"], EXAMPLE["own_broker"]
Address = tuple[str, int]
Send = Callable[..., None]


@pytest.fixture(scope="module")
def broker() -> Iterator[Address]:
    with own_broker() as address:
        yield address


def send_to(broker: Address, *payloads: object) -> None:
    """Send to the topic, and wait until the broker has all of it."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect(*broker)
    client.loop_start()
    for payload in payloads:
        client.publish("topic", str(payload), qos=1).wait_for_publish(GUARD)
    client.disconnect()
    client.loop_stop()


def batches_of(runner: Runner) -> list[Any]:
    """Return the list that gets the batches of a runner."""
    batches: list[Any] = []
    runner.on(Event.BATCH, lambda state: batches.append(state["batch"]))
    return batches


def numbers(broker: Address, ready: Callable[[], object] = lambda: None) -> Any:
    return messages(broker, "topic", ready).pipe(ops.map(json.loads))


def clients_have_left() -> bool:
    """Wait for the threads of clients that are leaving."""
    clients = [thread for thread in threading.enumerate() if thread.name.startswith("paho")]
    for thread in clients:
        thread.join(GUARD)
    return not any(thread.is_alive() for thread in clients)


def test_a_message_that_cannot_be_read_is_an_error_of_the_run(broker: Address) -> None:
    runner = Runner()
    batches = batches_of(runner)
    # In on_message it would end the thread of the client, and the run would wait for ever.
    with pytest.raises(json.JSONDecodeError):
        runner.run(buffered(numbers(broker, lambda: send_to(broker, 1, "{", 3)), live=True))
    assert batches == [1]
    assert clients_have_left()


def test_a_silent_broker_is_an_error_and_the_run_goes_on_when_it_is_resumed(
    broker: Address,
) -> None:
    runner, ready = Runner(), threading.Event()
    batches = batches_of(runner)

    def send() -> None:
        if ready.is_set():
            send_to(broker, 1)

    readings = numbers(broker, send).pipe(ops.take(1))
    limits = iter([0.5, GUARD])
    patient = reactivex.defer(lambda _: readings.pipe(ops.timeout(next(limits))))
    with pytest.raises(Exception, match=r"^Timeout\n"):
        runner.run(buffered(patient, live=True))
    assert clients_have_left()
    ready.set()
    runner.resume()
    assert batches == [1]
    assert clients_have_left()


def test_a_slow_learner_does_not_time_out_while_its_source_waits_for_it() -> None:
    runner = Runner()
    runner.on(Event.BATCH.once(), lambda state: reactivex.timer(0.5).run())
    batches = batches_of(runner)
    runner.run(buffered(reactivex.of(1, 2, 3, 4).pipe(ops.timeout(0.2)), 1, live=True))
    assert batches == [1, 2, 3, 4]


def test_enough_messages_end_the_run_from_the_thread_of_the_client(broker: Address) -> None:
    runner = Runner()
    batches = batches_of(runner)
    readings = numbers(broker, lambda: send_to(broker, *range(4))).pipe(ops.take(2))
    runner.run(buffered(readings, live=True))
    assert batches == [0, 1]
    assert clients_have_left()


def test_the_end_of_the_last_epoch_closes_the_connection(broker: Address) -> None:
    runner = Runner()
    batches = batches_of(runner)
    readings = numbers(broker, lambda: send_to(broker, *range(20)))
    runner.run(epochs_of(buffered(readings, 3, live=True), 2), max_epoch=2)
    assert batches == [0, 1, 2, 3]
    assert clients_have_left()


def test_a_stop_keeps_what_was_received_while_the_client_waits_for_room(broker: Address) -> None:
    runner, once = Runner(), threading.Lock()
    batches, emitted = batches_of(runner), list[Any]()

    def send() -> None:  # not on the thread of the client, which has to receive it
        if once.acquire(blocking=False):
            threading.Thread(target=send_to, args=(broker, *range(20))).start()

    def stop(_: State) -> None:
        until(lambda: len(emitted) == 6)  # two are in the buffer, and one waits for room
        runner.stop()

    runner.on(Event.BATCH.where(lambda state: state["batch"] == 2), stop)
    readings = numbers(broker, send).pipe(ops.do_action(emitted.append))
    runner.run(buffered(readings, 2, live=True))
    assert batches == [0, 1, 2]
    assert clients_have_left()
    runner.on(Event.BATCH.where(lambda state: state["batch"] == 5), lambda _: runner.stop())
    runner.resume()
    assert batches == [0, 1, 2, 3, 4, 5]
    assert emitted == [0, 1, 2, 3, 4, 5]  # the others were lost: nobody was subscribed
    assert clients_have_left()


def test_an_interrupt_while_the_broker_is_silent_closes_the_connection(broker: Address) -> None:
    main, runner = threading.main_thread().ident, Runner()
    assert main is not None
    readings = numbers(broker, lambda: signal.pthread_kill(main, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        runner.run(buffered(readings, live=True))
    assert clients_have_left()


def test_a_signal_while_the_broker_is_silent_stops_the_run_after_the_next_message(
    broker: Address,
) -> None:
    main, runner = threading.main_thread().ident, Runner()
    assert main is not None
    batches = batches_of(runner)

    def terminate_and_send() -> None:
        signal.pthread_kill(main, signal.SIGTERM)
        send_to(broker, 1, 2)

    with StopOnSignal().attach_on(runner), pytest.raises(SystemExit):
        runner.run(buffered(numbers(broker, terminate_and_send), live=True))
    assert batches == [1]
    assert clients_have_left()


def test_the_messages_of_the_page_come_from_a_broker(broker: Address) -> None:
    block = page("live-stream").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(block.replace("client.connect(host)", "client.connect(*host)"), names)
    runner = Runner()
    batches = batches_of(runner)

    def send_until_one_has_come() -> None:  # it does not say when it has subscribed
        while not batches:
            send_to(broker, '{"x": 1}')

    with in_thread(send_until_one_has_come):
        runner.run(buffered(names["readings"](broker, "topic").pipe(ops.take(1)), live=True))
    assert batches == [{"x": 1}]
    assert clients_have_left()


def test_a_broker_that_is_not_there_is_an_error_of_the_run() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    with pytest.raises(ConnectionRefusedError):
        Runner().run(buffered(messages(address, "topic", lambda: None), live=True))


def test_the_messages_go_on_after_the_broker_was_gone() -> None:
    runner, subscribed = Runner(), threading.Semaphore(0)
    batches = batches_of(runner)

    def come_and_go() -> None:
        with own_broker() as address:
            there.append(address)
            known.set()
            assert subscribed.acquire(timeout=GUARD)
            send_to(address, 1)
            until(lambda: batches == [1])  # what it has not passed on is lost with it
        with own_broker(address[1]):
            assert subscribed.acquire(timeout=GUARD)  # again, by the client itself
            send_to(address, 2)
            assert over.wait(GUARD)

    there: list[Address] = []
    known, over = threading.Event(), threading.Event()
    brokers = threading.Thread(target=come_and_go)
    brokers.start()
    assert known.wait(GUARD)
    runner.run(buffered(numbers(there[0], subscribed.release).pipe(ops.take(2)), live=True))
    over.set()
    brokers.join()
    assert batches == [1, 2]


class Pickled:
    """A model of River in a snapshot."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def state_dict(self) -> dict[str, Any]:
        copy = pickle.loads(pickle.dumps(self.model))  # it has the same bytes when it is loaded
        return {"model": pickle.dumps(copy)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model = pickle.loads(state["model"])


def test_a_run_that_is_killed_goes_on_with_its_model_and_the_next_message(
    broker: Address, tmp_path: Path
) -> None:
    from river import linear_model, preprocessing

    def learn(*sent: int) -> tuple[list[Any], dict[str, float]]:
        runner = Runner()
        held = Pickled(preprocessing.StandardScaler() | linear_model.LinearRegression())
        batches = batches_of(runner)

        @runner.on(Event.BATCH)
        def step(state: State) -> None:
            if state["batch"] == 99:
                raise KeyboardInterrupt
            held.model.learn_one({"x": state["batch"]}, 2 * state["batch"])

        Snapshots(tmp_path, every=Event.BATCH, held=held).attach_on(runner)
        readings = numbers(broker, lambda: send_to(broker, *sent))
        with suppress(KeyboardInterrupt):
            runner.run(epochs_of(buffered(readings, live=True), 5))
        return batches, dict(held.model["LinearRegression"].weights)

    assert learn(1, 2, 3, 99)[0] == [1, 2, 3, 99]
    batches, weights = learn(4, 5, 6)
    assert batches == [4, 5]  # nothing is skipped, and the epoch has five
    model = preprocessing.StandardScaler() | linear_model.LinearRegression()
    for number in range(1, 6):
        model.learn_one({"x": number}, 2 * number)
    assert weights == dict(model["LinearRegression"].weights)
