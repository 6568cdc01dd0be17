"""Every connection that is accepted is handled, whenever the server ends."""

import asyncio
import socket
from contextlib import closing
from typing import Any

import pytest

pytest.importorskip("tornado")

from tornado.iostream import IOStream

from rnnr.dashboard._connections import LimitedServer


class Listening(socket.socket):
    """A socket that counts; another listener may have been faster at first."""

    n_accepted = 0
    n_in_vain = 0

    def accept(self) -> tuple[socket.socket, Any]:
        if self.n_in_vain:
            self.n_in_vain -= 1
            raise BlockingIOError
        connection = super().accept()
        self.n_accepted += 1
        return connection


class Server(LimitedServer):
    """A server that closes whatever comes."""

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        handled.append(address)
        stream.close()


handled: list[Any] = []


@pytest.fixture
def listening() -> Any:
    handled.clear()
    with Listening() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        yield listening


@pytest.mark.parametrize("n_steps", range(8))
def test_a_connection_that_comes_as_the_server_ends_is_handled_or_not_accepted(
    n_steps: int, listening: Listening
) -> None:
    async def end_after_a_connection() -> None:
        accepting = asyncio.create_task(Server(lambda _: None).accept(listening))
        await asyncio.sleep(0)
        with closing(socket.create_connection(listening.getsockname())):
            for _ in range(n_steps):
                await asyncio.sleep(0)
            accepting.cancel()
            await asyncio.wait([accepting])

    asyncio.run(end_after_a_connection())
    assert len(handled) == listening.n_accepted


def test_a_connection_that_another_process_has_taken_is_nothing_to_mind(
    listening: Listening,
) -> None:
    async def until_it_is_handled() -> None:
        accepting = asyncio.create_task(Server(lambda _: None).accept(listening))
        with closing(socket.create_connection(listening.getsockname())):
            while not handled:
                await asyncio.sleep(0)
        accepting.cancel()
        await asyncio.wait([accepting])

    listening.n_in_vain = 2
    asyncio.run(until_it_is_handled())
    assert (len(handled), listening.n_in_vain) == (1, 0)
