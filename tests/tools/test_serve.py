"""tools/serve.py as a user starts it, with random slim weights."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import urllib.parse
import urllib.request

import cv2
import numpy as np
import pytest
from support.commands import run_tool
from support.random_weights import PICTURE, random_segmenter, save_weights

from objseg.files import REPOSITORY

PNG = cv2.imencode(".png", PICTURE)[1].tobytes()


@pytest.fixture(scope="module")
def segmenter():
    return random_segmenter()


@pytest.fixture(scope="module")
def weights(segmenter, tmp_path_factory):
    return save_weights(segmenter, tmp_path_factory.mktemp("weights"))


@contextlib.contextmanager
def served(weights, *options):
    """Start the tool; yields its process and the page's address on this machine."""
    command = [sys.executable, REPOSITORY / "tools" / "serve.py", "--port", "0", "--size", "slim",
               "--weights", weights, *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's "&" ignores it
    )
    try:
        said = process.stdout.readline()
        port = re.fullmatch(r"Open http://\S+:(\d+) in a browser. Ctrl-C ends the page.\n", said)
        yield process, f"http://127.0.0.1:{port[1]}"
    finally:
        process.kill()
        process.communicate()


def post(address, data):
    request = urllib.request.Request(
        f"{address}/pictures", data, {"Content-Type": "application/octet-stream"}
    )
    with urllib.request.urlopen(request, timeout=100) as answer:
        return json.load(answer)["id"]


def get(address, **parameters):
    url = f"{address}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=100) as answer:
        return answer.read()


def test_masks_on_the_page_are_those_of_the_segmenter_and_ctrl_c_ends_it(segmenter, weights):
    with served(weights) as (process, address):
        picture = f"{address}/pictures/{post(address, PNG)}"
        for phrase, threshold in (("red car", 0), ("sky left", 0.1)):
            content = get(f"{picture}/mask.png", phrase=phrase, threshold=threshold)
            found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
            (response,) = segmenter.responses(PICTURE, [phrase])
            assert 0 < np.mean(response > threshold) < 1
            assert np.mean((found > 0) == (response > threshold)) > 0.999
        assert json.loads(get(f"{address}/model"))["words"] == ["car", "left", "red", "sky"]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0 and process.stderr.read() == ""


def test_another_address_than_a_loopback_one_comes_with_a_warning(weights):
    with served(weights, "--host", "0.0.0.0") as (process, address):
        get(f"{address}/model")
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate(timeout=30)
        assert "warning: everybody who reaches 0.0.0.0 can use this page" in messages


@pytest.mark.parametrize(("options", "said"), [
    (["--port", "x"], "expected an integer"),
    (["--host", "192.0.2.1"], "error: cannot listen on 192.0.2.1, port 0"),
    (["--onnx", "none.onnx", "--weights", "x"], "leave out --weights"),
])
def test_options_that_cannot_be_are_clear_errors(weights, options, said):
    done = run_tool("tools/serve.py", "--port", 0, "--size", "slim", "--weights", weights, *options,
                    check=False)
    assert done.returncode in (1, 2) and said in done.stdout and "Traceback" not in done.stdout
