"""The page's application, asked as a browser would: answers, errors in words, and its bounds."""

import base64
import io
import struct
import threading
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from support.bright import BrightSegmenter, half_bright

from objseg.data.examples import example_pictures
from objseg.page.app import MAX_PHRASE, create_app, packed
from objseg.page.pictures import MAX_BYTES, MAX_PIXELS, Pictures
from objseg.page.server import LOOPBACK


@pytest.fixture
def segmenter():
    return BrightSegmenter()


@pytest.fixture
def client(segmenter):
    pictures = Pictures(lambda: segmenter, kept=3)
    yield create_app(pictures, example_pictures(), LOOPBACK).test_client()
    pictures.close()


def send(client, data, kind="application/octet-stream"):
    return client.post("/pictures", data=data, content_type=kind)


def sent(client, data):
    answer = send(client, data)
    assert answer.status_code == 201, answer.text
    return answer.json


def ask(client, name, phrase, what="response", **more):
    return client.get(f"/pictures/{name}/{what}", query_string={"phrase": phrase, **more})


def unpacked(response):
    values = np.frombuffer(base64.b64decode(response["thousandths"]), "<i2")
    return values.reshape(response["height"], response["width"]) / 1000


def png_claiming(width, height):
    """Make a PNG of a few bytes whose header claims a size, with correct checksums."""
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(
            ">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(
        b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def test_a_phrase_gives_the_response_map_of_the_picture_without_its_padding(client):
    picture = sent(client, half_bright(40, 80))
    assert (picture["width"], picture["height"]) == (80, 40)
    answer = ask(client, picture["id"], "bright").json
    found = unpacked(answer["response"])
    assert found.shape == (32, 64)  # the window of 80 x 40 in the segmenter's 64 x 64
    np.testing.assert_allclose(found[:, :30], 8 * (220 / 255 - 0.5), atol=0.002)
    np.testing.assert_allclose(found[:, 34:], 8 * (40 / 255 - 0.5), atol=0.002)
    assert answer["known"] and not answer["unknown"] and not answer["substitutes"]


def test_the_trunk_runs_once_for_a_picture(client, segmenter):
    names = [sent(client, half_bright(width=width))["id"] for width in (40, 50)]
    for phrase in ("bright", "dark", "bright dark"):
        for name in names:
            assert ask(client, name, phrase).status_code == 200
    assert segmenter.trunks == 2


@pytest.mark.parametrize("threshold", [0, 2.7, -9, 9])
def test_the_mask_is_a_png_of_one_channel_in_the_pictures_own_size(client, threshold):
    name = sent(client, half_bright(120, 200))["id"]
    answer = ask(client, name, "bright", "mask.png", threshold=threshold)
    assert answer.mimetype == "image/png"
    mask = cv2.imdecode(np.frombuffer(answer.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (120, 200)
    expected = {0: (True, False), 2.7: (True, False), -9: (True, True), 9: (False, False)}
    for inside, half in zip(expected[threshold], (mask[:, :95], mask[:, 105:])):
        assert (half == 255 * inside).all()


def test_packed_responses_keep_their_sign_and_a_thousandth():
    values = np.float32([[1e-6, -1e-6, 0, 31.9, -31.9, 1e9, -1e9]])
    found = np.frombuffer(base64.b64decode(packed(values)), "<i2") / 1000
    np.testing.assert_array_equal(found > 0, values[0] > 0)
    np.testing.assert_allclose(found[:5], values[0, :5], atol=0.001001)


def test_words_that_the_model_lacks_are_named(client):
    name = sent(client, half_bright())["id"]
    answer = ask(client, name, "bright automobile").json
    assert answer["substitutes"] == {"automobile": "car"} and answer["known"]
    answer = ask(client, name, "brigth").json
    assert answer["unknown"] == {"brigth": ["bright"]}
    assert not answer["known"] and answer["response"] is None
    assert ask(client, name, "bright " * 30).json["unread"] == 10


@pytest.mark.parametrize("phrase", ["", "  ", ".", "x" * (MAX_PHRASE + 1)])
def test_phrases_that_say_nothing_or_too_much_are_refused_in_words(client, phrase):
    answer = ask(client, sent(client, half_bright())["id"], phrase)
    assert answer.status_code == 422 and answer.json["error"].startswith("The phrase ")


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".bmp"])
def test_what_browsers_show_is_read(client, ending):
    name = sent(client, half_bright(ending=ending))["id"]
    assert (unpacked(ask(client, name, "bright").json["response"])[:, :28] > 0).all()


def test_a_picture_is_turned_as_the_camera_was_held(client):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.open(io.BytesIO(half_bright(40, 60))).save(file, "JPEG", exif=exif)
    picture = sent(client, file.getvalue())
    assert (picture["width"], picture["height"]) == (40, 60)


@pytest.mark.parametrize(("data", "said"), [
    (b"", "not a picture"),
    (b"GIF89a" + bytes(99), "not a picture"),
    (b"\x49\x49\x2a\x00" + bytes(99), "not a picture"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    (half_bright(ending=".jpg")[:-99], "damaged JPEG"),
    (half_bright()[:40], "not a picture"),
    (png_claiming(60_000, 60_000), f"more than {MAX_PIXELS // 10**6} million pixels"),
    (png_claiming(8_000, 8_000), f"more than {MAX_PIXELS // 10**6} million pixels"),
    (png_claiming(300, 300), "damaged"),
    (png_claiming(2**31 - 1, 2**31 - 1), "pixels"),
], ids=["empty", "gif", "tiff", "svg", "truncated jpeg", "truncated png", "60,000 pixels",
        "64 million", "no pixels", "largest header"])
def test_other_files_are_refused_in_words_and_nothing_is_kept(client, data, said):
    answer = send(client, data)
    assert answer.status_code == 422 and said in answer.json["error"]
    assert "/" not in answer.json["error"]


def test_a_file_that_is_too_large_is_refused_before_it_is_read(client):
    answer = send(client, io.BytesIO(bytes(MAX_BYTES + 1)))
    assert answer.status_code == 413 and "larger than 25 MB" in answer.json["error"]


def test_forms_of_many_parts_are_not_parsed(client):
    parts = {f"part{n}": (io.BytesIO(half_bright()), f"{n}.png") for n in range(2000)}
    answer = client.post("/pictures", data=parts)
    assert answer.status_code == 415 and "the picture itself" in answer.json["error"]


def test_the_picture_used_longest_ago_is_forgotten(client):
    names = [sent(client, half_bright())["id"] for _ in range(3)]
    assert ask(client, names[0], "bright").status_code == 200
    names.append(sent(client, half_bright())["id"])
    statuses = [ask(client, name, "bright").status_code for name in names]
    assert statuses == [200, 404, 200, 200]
    assert "forgotten" in ask(client, names[1], "bright").json["error"]
    assert len(set(names)) == 4 and min(map(len, names)) > 20


def test_clients_at_once_get_answers_about_their_own_pictures(client):
    """Each of six asks for the brightness of its own picture while the others do the same."""
    pictures = [cv2.imencode(".png", np.full((30, 30, 3), 40 * n, np.uint8))[1].tobytes()
                for n in range(1, 7)]
    app, wrong = client.application, []

    def use(number):
        mine = app.test_client()
        for _ in range(10):
            name = send(mine, pictures[number - 1]).json["id"]
            answer = ask(mine, name, "bright")
            if answer.status_code == 404:  # the others have pushed it out: three are kept
                continue
            if abs(unpacked(answer.json["response"]).mean() - 8 * (40 * number / 255 - 0.5)) > 0.01:
                wrong.append(number)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_request_waits_for_the_net_for_a_bounded_time():
    pictures = Pictures(lambda: BrightSegmenter(delay=2), kept=1, patience=0.2)
    client = create_app(pictures, {}, None).test_client()
    answer = ask(client, sent(client, half_bright())["id"], "bright")
    assert answer.status_code == 503 and "busy" in answer.json["error"]
    pictures.close()


def test_every_answer_keeps_other_sites_out_and_tells_nothing_of_the_machine(client):
    name = sent(client, half_bright())["id"]
    for address in ("/", "/model", "/static/page.js", "/examples/rocket.jpg", "/none", "/pictures",
                    f"/pictures/{name}/mask.png?phrase=bright&threshold=nan", "/static/../app.py",
                    "/examples/..%2f..%2fdata%2fREADME.txt", "/static/%2e%2e/app.py"):
        answer = client.get(address)
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert not {"Server", "Set-Cookie", "Access-Control-Allow-Origin"} & set(answer.headers)
        if answer.status_code >= 400:
            assert set(answer.json) == {"error"} and answer.json["error"].endswith(".")


def test_a_fault_of_the_program_is_told_without_its_trace(client, segmenter, monkeypatch):
    name = sent(client, half_bright())["id"]
    monkeypatch.setattr(segmenter, "_head", lambda *arguments: 1 / 0)
    answer = ask(client, name, "bright")
    assert answer.status_code == 500
    assert answer.json == {"error": "Something went wrong in the server; the terminal where it "
                                    "runs says more."}


@pytest.mark.parametrize(("host", "status"), [
    ("127.0.0.1:8000", 200), ("localhost:1", 200), ("[::1]:8000", 200),
    ("evil.example", 400), ("127.0.0.1.evil.example:8000", 400), ("192.168.1.2", 400), ("", 400),
    ("[", 400),
])
def test_on_loopback_the_page_answers_to_names_of_this_machine_alone(client, host, status):
    assert client.get("/model", headers={"Host": host}).status_code == status


def test_the_page_asks_nothing_of_other_hosts(client):
    for name in ("", "static/page.css", "static/page.js", "static/phrase.js", "static/view.js",
                 "static/responses.js", "static/server.js", "static/icon.svg"):
        text = client.get(f"/{name}").text.replace("http://www.w3.org/2000/svg", "")
        assert len(text) > 50 and "//" not in text.replace("// ", "").replace("//\n", ""), name
