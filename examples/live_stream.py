"""Learn from a live stream: River, on the messages of an MQTT broker, with rnnr's `Runner`.

    pip install . river paho-mqtt amqtt
    python examples/live_stream.py [--broker HOST:PORT]

A pump sends its load, the temperature outside and its own temperature. The model predicts the
temperature of the pump from the other two, and then learns from the message: so each error is one
of a message that it had not seen (prequential evaluation). An epoch is a hundred messages. After
600 messages the filter of the pump clogs, and an alarm, made of operators, tells of the drift.

Without ``--broker`` the script starts a broker of its own. The messages come on a thread of the
client, and wait in a bounded buffer. A broker that is silent for half a minute ends the run.
"""

import argparse
import json
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any
from uuid import uuid4

import paho.mqtt.client as mqtt
import reactivex
from paho.mqtt.enums import CallbackAPIVersion
from reactivex import Observable, abc
from reactivex import operators as ops
from reactivex.disposable import Disposable
from river import drift, linear_model, preprocessing

from rnnr import Event, Runner, State
from rnnr.attachments import EpochLog, MeanReducer
from rnnr.operators import select, when
from rnnr.sources import buffered, epochs_of

Address = tuple[str, int]


def main(argv: Sequence[str] | None = None) -> None:
    """Learn from a thousand messages."""
    parser = argparse.ArgumentParser(description="Learn from a live stream.")
    parser.add_argument("--broker", metavar="HOST:PORT", help="otherwise one of its own")
    options = parser.parse_args(argv)
    with nullcontext(parse(options.broker)) if options.broker else own_broker() as broker:
        learn(broker, topic=f"rnnr/{uuid4()}/pump")


def learn(broker: Address, topic: str) -> None:
    """Learn from the messages of a topic, while a pump sends them."""
    subscribed = threading.Event()
    readings: Observable[Any] = messages(broker, topic, subscribed.set).pipe(
        ops.map(json.loads), ops.timeout(30.0)
    )
    model = preprocessing.StandardScaler() | linear_model.LinearRegression()
    detector: Any = drift.PageHinkley(threshold=20, mode="up")
    runner = Runner()

    @runner.on(Event.BATCH)
    def predict_then_learn(state: State) -> None:
        features = {"load": state["batch"]["load"], "outside": state["batch"]["outside"]}
        target = state["batch"]["pump"]
        state["error"] = abs(model.predict_one(features) - target)
        model.learn_one(features, target)

    def has_drifted(seen: Any) -> bool:
        detector.update(seen["error"])
        return bool(detector.drift_detected)

    has_learned = Event.BATCH.where(lambda state: state["epoch"] > 1)
    alarm = runner.stream(has_learned).pipe(select("n_iters", "error"), when(has_drifted))
    alarm.subscribe(
        lambda seen: print("message {n_iters}: drift, error {error:.1f}".format(**seen))
    )
    MeanReducer("mean_error", value="error").attach_on(runner)
    EpochLog().attach_on(runner)

    pump = threading.Thread(target=run_pump, args=(broker, topic, subscribed), daemon=True)
    pump.start()
    runner.run(epochs_of(buffered(readings, live=True), 100), max_epoch=10)
    pump.join()
    print(f"mean error {runner.state['mean_error']:.2f} degrees in the last hundred messages")


def messages(broker: Address, topic: str, ready: Callable[[], object]) -> Observable[bytes]:
    """Return what a topic brings, from the moment of the subscription on."""

    def subscribe(
        observer: abc.ObserverBase[bytes], _: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        client = mqtt.Client(CallbackAPIVersion.VERSION2)

        def on_connect(_: Any, __: Any, _flags: Any, reason: Any, ___: Any) -> None:
            if reason.is_failure:
                observer.on_error(ConnectionError(f"the broker has refused: {reason}"))
            else:  # here, so that it is done again after each reconnect
                client.subscribe(topic, qos=1)

        def on_subscribe(_: Any, __: Any, _mid: int, reasons: Any, ___: Any) -> None:
            if any(reason.is_failure for reason in reasons):
                observer.on_error(PermissionError(f"the broker does not grant {topic}: {reasons}"))
            else:
                ready()

        client.on_connect, client.on_subscribe = on_connect, on_subscribe
        client.on_message = lambda _, __, message: observer.on_next(bytes(message.payload))
        client.connect(*broker)
        client.loop_start()

        def dispose() -> None:
            client.disconnect()
            client.loop_stop()

        return Disposable(dispose)

    return reactivex.create(subscribe)


def run_pump(broker: Address, topic: str, subscribed: threading.Event) -> None:
    """Send a thousand readings, as a pump does whose filter clogs after 600 of them."""
    rng = random.Random(0)  # noqa: S311  (not for secrets)
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect(*broker)
    client.loop_start()
    subscribed.wait()
    for number in range(1000):
        load, outside = rng.uniform(0, 1), rng.gauss(10, 5)
        temperature = 30 + 20 * load + 0.5 * outside + rng.gauss(0, 0.5)
        if number >= 600:
            temperature += 10 * load
        reading = {"load": load, "outside": outside, "pump": temperature}
        sent = client.publish(topic, json.dumps(reading), qos=1)
    sent.wait_for_publish()
    client.disconnect()
    client.loop_stop()


BROKER = """
import asyncio, logging, sys
from amqtt.broker import Broker

async def serve(listener, anonymous="amqtt.plugins.authentication.AnonymousAuthPlugin"):
    listeners = {"default": {"type": "tcp", "bind": listener}}
    plugins = {anonymous: {"allow_anonymous": True}}
    await Broker({"listeners": listeners, "plugins": plugins}).start()
    print("ready", flush=True)
    await asyncio.Event().wait()

logging.getLogger("amqtt").setLevel(logging.CRITICAL)  # it tells of clients that leave
asyncio.run(serve(sys.argv[1]))
"""


@contextmanager
def own_broker(port: int = 0) -> Iterator[Address]:
    """Run a broker on this machine, in a process of its own."""
    with socket.create_server(("127.0.0.1", port)) as free:
        host, port = free.getsockname()
    command = [sys.executable, "-c", BROKER, f"{host}:{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603  (our own)
        try:
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                raise RuntimeError("the broker has not started: is amqtt installed?")
            yield host, port
        finally:
            process.kill()


def parse(address: str) -> Address:
    host, _, port = address.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    main()
