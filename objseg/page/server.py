"""The page's application behind waitress, with bounds on what clients may take."""

import ipaddress
import json
import logging
import socket
import time

from flask import Flask
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask

from objseg.errors import UserError
from objseg.page.pictures import MAX_BYTES

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names of this machine that lead nowhere else."""

THREADS = 8
"""Requests that are answered at a time; the net itself takes one after the other."""

CONNECTIONS = 100
"""Connections at a time; more wait to be accepted."""

SECONDS = 60
"""A request must have arrived within this time, and an idle connection is closed after it."""


HEADER_BYTES = 16384
"""Length of the longest head of a request."""


class ErrorInWords(ErrorTask):
    """Answers what is no request of HTTP, or too large to be taken, as the application does."""

    def execute(self):
        """Write the answer."""
        error = self.request.error
        body = json.dumps({"error": f"{error.reason}: {error.body}"}).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class Connection(HTTPChannel):
    """A connection on which a request counts as idle until it is whole, however slowly it comes."""

    error_task_class = ErrorInWords
    _began = 0.0

    def received(self, data: bytes) -> bool:
        """Take what the client sent."""
        if self.request is None:
            self._began = time.time()
        went_on = super().received(data)
        if self.request is not None:
            self.last_activity = self._began
        return went_on


def is_loopback(host: str) -> bool:
    """Say whether ``host``, a name or an address, can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def open_server(app: Flask, host: str, port: int, seconds: int = SECONDS) -> BaseWSGIServer:
    """Listen on ``host`` and ``port``, 0 for a free one; returns a server of waitress.

    ``server.effective_port`` is its port, ``server.run()`` serves. Raises UserError
    where nobody can listen there.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise UserError(
            f"cannot listen on {host}, port {port} ({error.strerror}); name another --port "
            "(0 takes a free one) or another --host"
        ) from error
    server = create_server(
        app, sockets=[listening], ident=None, threads=THREADS, connection_limit=CONNECTIONS,
        channel_timeout=seconds, cleanup_interval=max(1, seconds // 4),
        max_request_header_size=HEADER_BYTES,
        max_request_body_size=MAX_BYTES + 2,  # the application answers what is just too large
    )
    server.channel_class = Connection
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # else a line for each that waits
    return server
