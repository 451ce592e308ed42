"""The page behind waitress, over real connections: slow, broken and many clients."""

import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.bright import BrightSegmenter, half_bright

from objseg.errors import UserError
from objseg.page.app import create_app
from objseg.page.pictures import MAX_BYTES, Pictures
from objseg.page.server import HEADER_BYTES, LOOPBACK, THREADS, is_loopback, open_server

SECONDS = 2


@pytest.fixture(scope="module")
def port():
    """The port of a server that gives a request two seconds to arrive."""
    pictures = Pictures(BrightSegmenter, kept=5)
    server = open_server(create_app(pictures, {}, LOOPBACK), "127.0.0.1", 0, SECONDS)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield int(server.effective_port)
    server.close()
    thread.join(10)
    pictures.close()


def request(port, method, path, body=None, headers=()):
    """Returns (status, headers, content)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def send(port, data):
    status, _, content = request(port, "POST", "/pictures", data,
                                 {"Content-Type": "application/octet-stream"})
    assert status == 201
    return json.loads(content)["id"]


def raw(port, data, patience=20):
    """Send bytes and return everything that the server answers until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_answers_carry_no_name_of_the_server(port):
    for path in ("/", "/none"):
        _, headers, _ = request(port, "GET", path)
        assert "Server" not in headers and "Content-Security-Policy" in headers


@pytest.mark.parametrize("data", [
    b"no request at all\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ".ljust(HEADER_BYTES, b"x"),
    b"POST /pictures HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\nabc",
    b"POST /pictures HTTP/1.1\r\nHost: localhost\r\nContent-Length: minus\r\n\r\nabc",
    b"POST /pictures HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: odd\r\n\r\nabc",
    b"POST /pictures HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
], ids=["words", "long header", "huge", "no number", "encoding", "chunks"])
def test_what_is_no_request_is_answered_in_json_and_closed(port, data):
    head, _, body = raw(port, data).partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.0 4", b"HTTP/1.1 4", b"HTTP/1.0 5", b"HTTP/1.1 5"))
    assert set(json.loads(body)) == {"error"} and b"Server:" not in head


def test_an_endless_upload_in_chunks_is_stopped(port):
    """Sends chunks until the server has had enough; it must be before 1.5 times the limit."""
    chunk = b"100000\r\n" + bytes(2**20) + b"\r\n"
    amount = 0
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(b"POST /pictures HTTP/1.1\r\nHost: localhost\r\n"
                           b"Content-Type: application/octet-stream\r\n"
                           b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            while amount < 2 * MAX_BYTES:
                connection.sendall(chunk)
                amount += len(chunk)
        except OSError:
            pass
    assert amount < 1.5 * MAX_BYTES
    assert request(port, "GET", "/model")[0] == 200


@pytest.mark.slow
def test_clients_that_dribble_are_cut_off_and_keep_nobody_waiting(port):
    """More of them than the server has threads send a byte of a request now and then."""
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(2 * THREADS)]
    text = b"POST /pictures HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n" + bytes(999)
    alive, answered, began = list(slow), 0, time.monotonic()
    for number in range(len(text)):
        for connection in list(alive):
            try:
                connection.sendall(text[number:number + 1])
            except OSError:
                alive.remove(connection)
        answered += request(port, "GET", "/model")[0] == 200
        if not alive or time.monotonic() - began > 60:
            break
        time.sleep(0.2)
    for connection in slow:
        connection.close()
    assert not alive and answered == number + 1
    assert number < len(text) - 1  # none of them came to its end


def test_a_client_that_leaves_in_the_middle_does_no_harm(port):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"POST /pictures HTTP/1.1\r\nHost: localhost\r\n"
                               b"Content-Length: 1000\r\n\r\nabc")
    name = send(port, half_bright())
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", f"/pictures/{name}/mask.png?phrase=bright")
    connection.close()
    assert request(port, "GET", "/model")[0] == 200


def test_twenty_clients_at_once_are_all_answered(port):
    """More pictures than are kept, so that some are forgotten and sent again."""
    def use(number):
        name, statuses = send(port, half_bright(20 + number)), []
        for phrase in ("bright", "dark", "bright%20sky"):
            status, _, _ = request(port, "GET", f"/pictures/{name}/response?phrase={phrase}")
            if status == 404:
                name = send(port, half_bright(20 + number))
            statuses.append(status)
        return statuses

    with ThreadPoolExecutor(20) as pool:
        found = {status for statuses in pool.map(use, range(20)) for status in statuses}
    assert found <= {200, 404}  # each may find its picture forgotten every time
    assert use(0) == [200, 200, 200]


def test_a_port_in_use_is_a_clear_error(port):
    with pytest.raises(UserError, match=f"port {port} .*another --port"):
        open_server(None, "127.0.0.1", port)
    with pytest.raises(UserError, match="another --host"):
        open_server(None, "192.0.2.1", 0)


@pytest.mark.parametrize(("host", "here"), [
    ("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.8.8.8", True),
    ("0.0.0.0", False), ("::", False), ("192.168.0.2", False), ("some.host", False),
])
def test_loopback_addresses_are_told_from_others(host, here):
    assert is_loopback(host) == here
