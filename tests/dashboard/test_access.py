"""Who gets in, and what those see who do not: nothing."""

import logging
import socket
from collections.abc import Iterator

import pytest

pytest.importorskip("tornado")

import rnnr.dashboard._access
from helpers.http import Answer, got, sent, token_of
from rnnr import Event, Runner
from rnnr.attachments import ControlStatus
from rnnr.dashboard import Dashboard

# Everything about the run is called so; whoever is refused must not find it in the answer.
SECRET = "xyzzy"


@pytest.fixture(scope="module")
def dashboard() -> Iterator[Dashboard]:
    runner, dashboard = Runner(), Dashboard(allowed_hosts=("gpu7.example.org",))
    dashboard.attach_on(runner, name=f"run {SECRET}")

    @runner.on(Event.BATCH)
    def train(state: rnnr.State) -> None:
        state["stats"] = {f"loss {SECRET}": 0.5}
        logging.getLogger("test").warning("log %s", SECRET)

    runner.run([1, 2, 3])
    assert SECRET in got(dashboard.address, "data").body.decode()
    yield dashboard
    dashboard.close()


@pytest.fixture
def address(dashboard: Dashboard) -> str:
    return dashboard.address


def assert_shows_nothing(answer: Answer, token: str) -> None:
    assert answer.is_refused, answer.raw
    for hidden in (SECRET, token, "<script", "BATCH", "rnnr"):
        assert hidden.encode() not in answer.raw


WITHOUT_THE_TOKEN = {
    "the root": "/",
    "nothing": "/data",
    "two slashes": "//",
    "an icon": "/favicon.ico",
    "another one": "/" + "x" * 32 + "/data",
    "an empty one": "//data",
    "all but the last character": "/{start}/data",
    "one character more": "/{token}x/data",
    "as a prefix of a name": "/{token}data",
    "in upper case": "/{upper}/data",
    "in lower case": "/{lower}/data",
    "in percent signs": "/{percent}/data",
    "its first character in percent signs": "/{half}/data",
    "a slash in percent signs behind it": "/{token}%2fdata",
    "a slash in percent signs before it": "/%2f{token}/data",
    "a NUL behind it": "/{token}%00/data",
    "a space behind it": "/{token}%20/data",
    "a semicolon behind it": "/{token};/data",
    "behind two slashes": "//{token}/data",
    "behind a dot": "/./{token}/data",
    "behind two dots": "/../{token}/data",
    "behind a way back": "/x/../{token}/data",
    "behind an encoded way back": "/x/%2e%2e/{token}/data",
    "at the end": "/data/{token}",
    "in the query": "/data?token={token}",
    "as the query": "/?/{token}/data",
    "in the fragment": "/#/{token}/data",
    "backslashes": "/\\{token}\\data",
    "letters beyond ASCII": "/\xe9{token}/data",
    "a byte order mark": "/\xef\xbb\xbf{token}/data",
}


@pytest.mark.parametrize("path", WITHOUT_THE_TOKEN.values(), ids=WITHOUT_THE_TOKEN)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_without_the_token_in_its_place_there_is_403_and_nothing_of_the_run(
    address: str, path: str, method: str
) -> None:
    token = token_of(address)
    percent = "".join(f"%{ord(letter):02x}" for letter in token)
    path = path.format(
        token=token,
        start=token[:-1],
        upper=token.upper(),
        lower=token.lower(),
        percent=percent,
        half=percent[:3] + token[1:],
    )
    answer = got(address, path, method)
    assert answer.status == 403
    assert_shows_nothing(answer, token)


@pytest.mark.parametrize("path", ["/", "/" + "x" * 32 + "/", "/data"])
def test_the_owner_of_an_old_address_is_told_where_the_new_one_is(address: str, path: str) -> None:
    answer = got(address, path)
    assert answer.body.decode() == (
        "403: this address is of a dashboard that has ended, or is incomplete: "
        "its log has the address."
    )
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1/{token}/data",
        "http://{token}/data",
        "https://evil.example/{token}/",
        "{token}/data",
        "*",
        "127.0.0.1:80",
        "?/{token}/data",
        "",
        "/ /{token}/data",
    ],
)
@pytest.mark.parametrize("method", ["GET", "CONNECT", "OPTIONS"])
def test_other_forms_of_a_target_are_refused(address: str, method: str, target: str) -> None:
    token = token_of(address)
    request = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    answer = sent(address, request.format(token=token).encode())
    assert answer.is_refused or answer.status == 405  # CONNECT is not a method of ours
    assert_shows_nothing(answer._replace(status=403), token)


@pytest.mark.parametrize(
    "header",
    [
        "Authorization: Bearer {token}",
        "Cookie: token={token}",
        "X-Token: {token}",
        "X-Original-URL: /{token}/data",
        "X-Rewrite-URL: /{token}/data",
        "X-HTTP-Method-Override: GET",
        "Referer: http://127.0.0.1/{token}/",
    ],
)
def test_the_token_in_a_header_lets_nobody_in(address: str, header: str) -> None:
    token = token_of(address)
    answer = got(address, "/data", "GET", header.format(token=token))
    assert answer.status == 403
    assert_shows_nothing(answer, token)


def test_the_address_itself_lets_in(address: str) -> None:
    assert got(address).status == got(address, "data").status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("query", "kept"), [("", ""), ("?", ""), ("?a=%22b&c", "?a=%22b&c")])
def test_without_its_last_slash_it_leads_to_the_address_with_it(
    address: str, method: str, query: str, kept: str
) -> None:
    token = token_of(address)
    answer = got(address, f"/{token}{query}", method)
    assert (answer.status, answer.headers["location"]) == (301, f"{token.lower()}/{kept}")
    assert answer.raw.count(token.encode()) == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_without_its_last_slash_there_is_nothing_but_the_way_to_it(
    address: str, method: str
) -> None:
    assert got(address, f"/{token_of(address)}", method).status == 405


@pytest.mark.parametrize(
    ("path", "headers", "host"),
    [
        ("/" + "x" * 32, (), None),
        ("/{token}x", (), None),
        ("/{start}", (), None),
        ("/{token};", (), None),
        ("/{token}%2f", (), None),
        ("//{token}", (), None),
        ("/{token}", (), "evil.example"),
        ("/{token}", ("Origin: https://evil.example",), None),
        ("/{token}", ("Origin: null",), None),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_who_may_not_come_in_learns_nothing_from_an_address_without_its_slash(
    address: str, path: str, headers: tuple[str, ...], host: str | None, method: str
) -> None:
    token = token_of(address)
    answers = [
        got(address, target.format(token=token, start=token[:-1]), method, *headers, host=host)
        for target in (path, "/", "/no/such")
    ]
    if path == "/{token}":  # the right one: what else is wrong with the request is in both
        answers.pop()
        answers[1] = got(address, f"/{token}/data", method, *headers, host=host)
    for answer in answers:
        assert_shows_nothing(answer, token)
        del answer.headers["date"]
    assert len({(each.status, str(each.headers), each.body) for each in answers}) == 1


@pytest.mark.parametrize("port", ["", ":80"])
def test_the_interface_of_a_link_local_address_is_no_part_of_the_host(
    address: str, port: str
) -> None:
    for host in ("[fe80::1]", "[fe80::1%eth0]", "[fe80::1%25eth0]"):
        assert got(address, "data", host=host + port).status == 200 or "%25" in host
    for host in ("[evil%eth0]", "evil.example%eth0", "[fe80::1%]", "[fe80::1%eth0].evil.example"):
        assert_shows_nothing(got(address, "data", host=host + port), token_of(address))


@pytest.mark.parametrize("method", ["GET", "POST", "FOO"])
def test_without_the_token_every_path_has_the_same_answer(address: str, method: str) -> None:
    paths = ["", "data", "page/dashboard.js", "bokeh/js/bokeh.min.js", "control/pause", "no/such"]
    wrong = "/" + "x" * len(token_of(address)) + "/"
    answers = [got(address, wrong + path, method) for path in paths]
    answers += [got(address, "/", method), got(address, "/favicon.ico", method)]
    for answer in answers:
        del answer.headers["date"]
    assert len({(each.status, str(each.headers), each.body) for each in answers}) == 1


def test_the_token_is_compared_in_constant_time(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr(rnnr.dashboard._access, "compare_digest", compare)
    assert got(address, "data").status == 403  # nothing else lets in
    token = token_of(address).encode()
    got(address, "/guess/data")
    assert compared == [(token, token), (b"guess", token)]


def test_each_dashboard_has_a_token_of_its_own_which_cannot_be_guessed(address: str) -> None:
    tokens = {Dashboard()._token for _ in range(100)}
    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {32}  # 24 bytes, 192 bits


OURS = ["127.0.0.1", "localhost", "LocalHost", "[::1]", "192.0.2.77", "[2001:db8::1]"]
OURS += ["gpu7.example.org", "GPU7.example.org", socket.gethostname()]


@pytest.mark.parametrize("port", ["", ":1", ":65535"])
@pytest.mark.parametrize("host", OURS)
def test_this_machine_may_be_asked_for_by_number_and_by_its_names(
    address: str, host: str, port: str
) -> None:
    assert got(address, "data", host=host + port).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "gpu7.example.org.evil.example",
        "evil.gpu7.example.org",
        "localhost.",
        "127.0.0.1.",
        "localhost@evil.example",
        "localhost:80@evil.example",
        "evil.example@localhost",
        "evil.example@127.0.0.1",
        "evil.example#127.0.0.1",
        "127.0.0.1#evil.example",
        "127.0.0.1/evil.example",
        "127.0.0.1?evil.example",
        "127.0.0.1\\evil.example",
        "127.0.0.1 evil.example",
        "127.0.0.1,evil.example",
        "127.0.0.1:80:80",
        "127.0.0.1:port",
        "127.0.0.1:-1",
        "127.0.0.1:123456",
        "[::1",
        "::1",
        "[::1]evil.example",
        "[::1].evil.example",
        "[evil.example]",
        "[127.0.0.1",
        "[]",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "l\xf6calhost",
        "127.0.0.1\xa0",
        "\xb9\xb2\xb7.0.0.1",
        "%6cocalhost",
        "xn--localhost",
        "127.0.0.1\t.evil.example",
        "a" * 5000,
    ],
)
def test_another_host_is_refused_as_its_name_may_have_been_made_to_point_here(
    address: str, host: str
) -> None:
    for path in ("", "data", "page/dashboard.js"):
        assert_shows_nothing(got(address, path, host=host), token_of(address))


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_a_request_without_a_host_is_refused(address: str, version: str) -> None:
    token = token_of(address)
    assert_shows_nothing(sent(address, f"GET /{token}/data {version}\r\n\r\n".encode()), token)


@pytest.mark.parametrize("hosts", [("127.0.0.1", "evil.example"), ("evil.example", "127.0.0.1")])
def test_two_hosts_are_refused(address: str, hosts: tuple[str, str]) -> None:
    answer = got(address, "data", "GET", f"Host: {hosts[1]}", host=hosts[0])
    assert_shows_nothing(answer, token_of(address))


HANDSHAKE = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]
REQUESTS = {
    "the data": ("data", "GET", ()),
    "an order": ("control/pause", "POST", ()),
    "a websocket": ("data", "GET", HANDSHAKE),
    "a websocket at the page": ("", "GET", HANDSHAKE),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        "http://localhost:{port}",
        "http://127.0.0.1:{port}.evil.example",
        "http://evil.example/127.0.0.1:{port}",
        "http://evil.example@127.0.0.1:{port}",
        "127.0.0.1:{port}",
        "http://127.0.0.1:{port}, http://evil.example",
        "http://127.0.0.1:{port}/",
        "file://",
        "\xe9://127.0.0.1:{port}x",
    ],
)
def test_a_page_from_elsewhere_gets_nothing_and_orders_nothing(
    dashboard: Dashboard, request_: tuple[str, str, list[str]], origin: str
) -> None:
    path, method, headers = request_
    port = dashboard.address.split(":")[2].split("/")[0]
    answer = got(dashboard.address, path, method, f"Origin: {origin.format(port=port)}", *headers)
    assert answer.status == 403
    assert_shows_nothing(answer, token_of(dashboard.address))
    assert dashboard.control.status is ControlStatus.NONE


def test_two_origins_are_refused(address: str) -> None:
    own = address.rsplit("/", 2)[0]
    both = [f"Origin: {own}", "Origin: https://evil.example"]
    assert got(address, "data", "GET", *both).status == 403
    assert got(address, "data", "GET", *reversed(both)).status == 403


def test_our_own_page_gets_the_data_and_gives_orders(dashboard: Dashboard) -> None:
    origin = "Origin: " + dashboard.address.rsplit("/", 2)[0]
    assert got(dashboard.address, "data", "GET", origin).status == 200
    holds = []
    for order in ("pause", "unpause"):
        assert got(dashboard.address, f"control/{order}", "POST", origin).status == 204
        holds.append(dashboard.control.status)
    assert holds == [ControlStatus.PAUSING, ControlStatus.NONE]


def test_there_is_no_websocket(address: str) -> None:
    origin = "Origin: " + address.rsplit("/", 2)[0]
    for path in ("", "data", "control/pause", "ws", "bokeh/ws"):
        answer = got(address, path, "GET", origin, *HANDSHAKE)
        assert answer.status in (200, 404, 405)
        assert "upgrade" not in answer.headers


def test_no_other_site_is_allowed_to_read_an_answer(address: str) -> None:
    preflight = ["Origin: https://evil.example", "Access-Control-Request-Method: POST"]
    for answer in (got(address), got(address, "control/stop", "OPTIONS", *preflight)):
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "junk",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # TLS
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n: no name\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
        b"\x00" * 70_000,
    ],
)
def test_what_is_no_request_is_refused_and_the_next_one_is_answered(
    address: str, junk: bytes
) -> None:
    assert_shows_nothing(sent(address, junk), token_of(address))
    assert got(address, "data").status == 200
