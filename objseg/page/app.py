"""The routes of the page, and what holds for every answer.

A picture is sent as the body of a request, not in a form, and every error is JSON with a sentence
for people: {"error": "…"}. No answer names a path of the machine.
"""

import base64
import math
from collections.abc import Iterable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from flask import Flask, Response, jsonify, request, send_file
from werkzeug.exceptions import BadRequest, HTTPException

from objseg.data.expressions import MAX_WORDS
from objseg.data.reading import Reading, read_expression
from objseg.errors import UserError
from objseg.page.pictures import MAX_BYTES, BusyError, Pictures, UnknownPictureError

MAX_PHRASE = 300
"""Characters of the longest phrase that is read."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every answer: the page takes nothing from other sites, nor they from it."""

SENTENCES = {
    400: "The request is not understood.",
    404: "There is nothing at this address.",
    405: "This address does not take such a request.",
    413: f"The file is larger than {MAX_BYTES // 10**6} MB; make it smaller.",
    415: "Send the picture itself, as application/octet-stream.",
    500: "Something went wrong in the server; the terminal where it runs says more.",
}
"""What people read, by the status of an answer."""

PICTURE = "application/octet-stream"
"""The type of a picture that is sent. A page from elsewhere may not send it without asking."""


def create_app(
    pictures: Pictures, examples: dict[Path, list[str]], hosts: Iterable[str] | None
) -> Flask:
    """Make the page's application.

    ``examples`` are {picture: phrases for it}. ``hosts`` are the names by which the page may be
    called, None for any. On a loopback address that keeps other sites from reaching it by a name of
    their own that leads to this machine.
    """
    app = Flask(__name__, static_folder="static", static_url_path="/static")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BYTES
    if hosts is not None:
        app.before_request(partial(check_host, frozenset(hosts)))
    add_page(app, pictures, {path.name: path for path in examples}, list(examples.values()))
    add_pictures(app, pictures)
    app.register_error_handler(HTTPException, in_words)
    app.register_error_handler(UserError, in_words)
    app.after_request(with_headers)
    return app


def check_host(hosts: frozenset[str]) -> None:
    """Raise BadRequest where the request calls this server by another name than ``hosts``."""
    try:  # Flask's TRUSTED_HOSTS knows no addresses of IPv6
        name = urlsplit(f"//{request.headers.get('Host', '')}").hostname
    except ValueError:
        raise BadRequest from None
    if name not in hosts:
        raise BadRequest


def add_page(app: Flask, pictures: Pictures, paths: dict[str, Path], phrases: list[list[str]]):
    """Add the page itself, the example pictures, and what the page has to know."""
    @app.get("/")
    def page():
        return app.send_static_file("index.html")

    @app.get("/model")
    def model():
        examples = [{"name": name, "phrases": said} for name, said in zip(paths, phrases)]
        return jsonify(
            words=pictures.vocabulary.spoken, examples=examples, pictures=pictures.kept,
            maxBytes=MAX_BYTES, maxPhrase=MAX_PHRASE,
        )

    @app.get("/examples/<name>")
    def example(name):
        return send_file(paths[name]) if name in paths else in_words(HTTPStatus.NOT_FOUND)


def add_pictures(app: Flask, pictures: Pictures):
    """Add the routes that take a picture, and answer what a phrase names in it."""
    @app.post("/pictures")
    def add():
        if request.mimetype != PICTURE:
            return in_words(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        name, placement = pictures.add(request.get_data(cache=False))
        return jsonify(id=name, width=placement.width, height=placement.height), HTTPStatus.CREATED

    @app.get("/pictures/<name>/response")
    def response(name):
        reading = phrase_asked(pictures)
        found = pictures.response(name, reading.text) if reading.known else None
        return jsonify(
            substitutes=reading.substitutes, unknown=reading.unknown, known=reading.known,
            unread=max(0, reading.tokens - MAX_WORDS), response=None if found is None else
            {"width": found.shape[1], "height": found.shape[0], "thousandths": packed(found)},
        )

    @app.get("/pictures/<name>/mask.png")
    def mask(name):
        reading, threshold = phrase_asked(pictures), request.args.get("threshold", 0.0, float)
        if not math.isfinite(threshold):
            raise BadRequest
        return Response(pictures.mask(name, reading.text, threshold), mimetype="image/png")


def phrase_asked(pictures: Pictures) -> Reading:
    """Return the Reading of the phrase that a request asks about; raises UserError for none."""
    phrase = request.args.get("phrase", "")
    if len(phrase) > MAX_PHRASE:
        raise UserError(f"The phrase has more than {MAX_PHRASE} characters; say it shorter.")
    reading = read_expression(phrase, pictures.vocabulary)
    if not reading.tokens:
        raise UserError("The phrase is empty; say what to find.")
    return reading


def packed(response: np.ndarray) -> str:
    """Return a response map as base64 of little-endian int16, row by row, in thousandths.

    They are rounded up, so that above 0 stays above 0; what is beyond 32 either way is cut.
    """
    thousandths = np.clip(np.ceil(response * 1000), -32768, 32767).astype("<i2")
    return base64.b64encode(thousandths.tobytes()).decode("ascii")


def in_words(error: Exception | HTTPStatus) -> tuple[Response, int]:
    """Return the answer for an error, JSON with a sentence for people, and its status."""
    if isinstance(error, UserError):
        status = {UnknownPictureError: 404, BusyError: 503}.get(type(error), 422)
        return jsonify(error=str(error)), status
    status = error if isinstance(error, HTTPStatus) else HTTPStatus(error.code)
    return jsonify(error=SENTENCES.get(status, f"{status.phrase}.")), status


def with_headers(response: Response) -> Response:
    """Set :data:`HEADERS` on an answer."""
    response.headers.update(HEADERS)
    return response
