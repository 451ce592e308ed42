"""The page in a real browser, Chromium by Playwright, on a segmenter whose answers are known."""

import contextlib
import functools
import io
import json
import shutil
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.bright import BrightSegmenter, half_bright

from objseg.data.examples import example_pictures
from objseg.page.app import create_app
from objseg.page.pictures import MAX_BYTES, Pictures
from objseg.page.server import LOOPBACK, open_server

sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright here; .ci/run has it")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: apt-get install chromium"),
]
expect, TIMEOUT = sync_api.expect, 60_000
expect.set_options(timeout=TIMEOUT)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync"]

PICTURE = half_bright(300, 400)


def serve(port=0):
    """Start the page; returns (server, its pictures)."""
    pictures = Pictures(BrightSegmenter, kept=5)
    server = open_server(create_app(pictures, example_pictures(), LOOPBACK), "127.0.0.1", port)
    threading.Thread(target=server.run, daemon=True).start()
    return server, pictures


@pytest.fixture(scope="module")
def server():
    server, pictures = serve()
    yield server, pictures
    server.close()
    pictures.close()


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, server):
    """The page, opened; a fault of a script, or an error on the console, fails the test."""
    with opened(chromium, server[0]) as page:
        yield page


@contextlib.contextmanager
def opened(chromium, server, **options):
    """Open the page in a new window of the browser; yields it, and then looks for faults."""
    options = {"viewport": {"width": 1280, "height": 860}, "reduced_motion": "reduce"} | options
    page, faults = chromium.new_page(**options), []
    page.set_default_timeout(TIMEOUT)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text)
            if said.type == "error" and "Failed to load resource" not in said.text else None)
    try:
        page.goto(f"http://127.0.0.1:{server.effective_port}/")
        expect(page.get_by_label("Phrase 1", exact=True)).to_be_visible()
        yield page
        assert not faults
    finally:
        page.close()


def choose(page, data=PICTURE, name="half.png"):
    page.locator("#file").set_input_files({"name": name, "mimeType": "image/png", "buffer": data})


def say(page, text, number=1):
    page.get_by_label(f"Phrase {number}", exact=True).press_sequentially(text)


def results(page):
    return page.locator(".result")


def drawn(page, canvas="marks"):
    """The pixels of a canvas of the page, uint8 (H, W, 4), once it is drawn."""
    shot = page.evaluate(
        "async (id) => { for (const frame of [1, 2]) await new Promise(requestAnimationFrame); "
        "const blob = await new Promise((done) => "
        "document.getElementById(id).toBlob(done)); "
        "return [...new Uint8Array(await blob.arrayBuffer())]; }", canvas)
    return np.array(Image.open(io.BytesIO(bytes(shot))).convert("RGBA"))


def covered(page):
    """The share of the picture that is marked, left half and right half."""
    alpha = drawn(page)[:, :, 3] > 0
    middle = alpha.shape[1] // 2
    return alpha[:, :middle].mean(), alpha[:, middle:].mean()


def download(page, button):
    """Click a button and return the picture that it saves, and the file's name."""
    with page.expect_download() as saved:
        page.get_by_role("button", name=button, exact=True).click()
    content = Path(saved.value.path()).read_bytes()
    return np.array(Image.open(io.BytesIO(content))), saved.value.suggested_filename


def drop(page, data, kind, event):
    """Give the page a file as a drop or a paste does."""
    page.evaluate(
        """([bytes, kind, event]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "given.png", { type: kind }));
            document.body.dispatchEvent(event === "paste"
                ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true })
                : new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
        }""", [list(data), kind, event])


def test_the_mask_follows_what_is_typed(page):
    choose(page)
    say(page, "bright")
    expect(results(page)).to_have_text("50 % of the picture, score 0.95")
    left, right = covered(page)
    assert left > 0.97 and right < 0.05
    page.get_by_label("Phrase 1", exact=True).fill("dark")
    expect(results(page)).to_contain_text("score 0.94")
    left, right = covered(page)
    assert left < 0.05 and right > 0.97
    for nothing in ("", " . "):
        page.get_by_label("Phrase 1", exact=True).fill(nothing)
        expect(results(page)).to_have_text("")
        assert covered(page) == (0, 0)
    expect(page.get_by_role("alert")).to_be_hidden()


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_picture_may_be_dropped_or_pasted(page, event):
    say(page, "bright")
    drop(page, PICTURE, "image/png", event)
    expect(results(page)).to_contain_text("50 % of the picture")
    assert drawn(page, "photo").shape[:2] == (768, 1024)  # 400 x 300, enlarged


def test_an_example_comes_with_its_phrases(page):
    page.get_by_role("button", name="Example: rocket").click()
    expect(page.get_by_label("Phrase 1", exact=True)).to_have_value("sky")
    expect(page.get_by_role("img", name="rocket.jpg")).to_be_visible()
    expect(results(page)).to_have_text("Nothing found: lower the threshold, or say it differently.")


def test_several_phrases_have_several_colours_and_can_be_hidden_and_removed(page):
    choose(page)
    say(page, "bright")
    page.get_by_label("Phrase 1", exact=True).press("Enter")
    expect(page.get_by_label("Phrase 2", exact=True)).to_be_focused()
    expect(page.get_by_role("button", name="Mask of phrase 2")).to_be_disabled()
    page.keyboard.type("dark")
    expect(results(page)).to_contain_text(["score 0.95", "score 0.94"])
    shot = drawn(page)
    left, right = shot[384, 200], shot[384, 800]
    assert left[3] and right[3] and np.abs(left[:3].astype(int) - right[:3]).max() > 60
    page.get_by_role("button", name="Mark phrase 1 in the picture").click()
    expect(page.get_by_role("button", name="Mark phrase 1 in the picture")).to_have_attribute(
        "aria-pressed", "false")
    assert covered(page)[0] < 0.05 and covered(page)[1] > 0.97
    page.get_by_role("button", name="Remove phrase 1").click()
    expect(page.get_by_label("Phrase 1", exact=True)).to_have_value("dark")
    for _ in range(5):
        page.get_by_role("button", name="Add a phrase").click()
    expect(page.get_by_role("button", name="Add a phrase")).to_be_disabled()


def test_the_threshold_changes_the_mask_without_a_request(page):
    choose(page)
    say(page, "bright")
    expect(results(page)).to_contain_text("50 %")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    slider = page.get_by_role("slider", name="Threshold")
    slider.fill("-6")
    expect(results(page)).to_contain_text("100 % of the picture")
    slider.fill("6")
    expect(results(page)).to_contain_text("Nothing found")
    assert covered(page) == (0, 0) and not asked
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "−6.0, at least 0.2 % sure")


def test_the_response_map_takes_the_place_of_the_masks(page):
    choose(page)
    say(page, "bright")
    expect(results(page)).to_contain_text("50 %")
    page.get_by_label("response map").check()
    expect(page.locator("#legend")).to_have_text("Phrase 1: −2.7+2.9")
    assert min(covered(page)) == 1
    shot = drawn(page)[384].astype(int)
    assert shot[100, :3].sum() > shot[900, :3].sum() + 200  # yellow is high, violet low
    page.get_by_label("masks").check()
    assert covered(page)[1] < 0.05


def test_the_downloads_are_the_mask_and_the_overlay_in_the_pictures_size(page):
    choose(page, half_bright(301, 403), "my photo.png")
    say(page, "bright")
    expect(results(page)).to_contain_text("50 %")
    mask, name = download(page, "Mask of phrase 1")
    assert name == "my photo_bright_mask.png" and mask.shape == (301, 403)
    assert set(np.unique(mask)) == {0, 255}
    overlay, name = download(page, "Overlay")
    assert name == "my photo_overlay.png" and overlay.shape[:2] == (301, 403)
    original = np.array(Image.open(io.BytesIO(half_bright(301, 403))).convert("RGB")).astype(int)
    changed = np.abs(overlay[:, :, :3] - original).max(axis=2) > 8
    assert (changed == (mask > 0)).mean() > 0.98


def test_what_the_page_marks_is_the_mask_of_the_server(page):
    """On a photograph, whose outline is not straight, and at another threshold than 0."""
    page.get_by_role("button", name="Example: chelsea").click()
    expect(page.get_by_label("Phrase 1", exact=True)).to_have_value("cat")
    page.get_by_label("Phrase 1", exact=True).fill("bright")
    expect(results(page)).to_contain_text("score")
    page.get_by_role("slider", name="Threshold").fill("0.4")
    mask, _ = download(page, "Mask of phrase 1")
    alpha = drawn(page)[:, :, 3]
    marked = np.isin(alpha, (90, 255))  # tint and outline, not the dark rim outside
    height, width = marked.shape
    expected = np.array(Image.fromarray(mask).resize((width, height))) > 127
    assert 0.1 < expected.mean() < 0.9 and (marked == expected).mean() > 0.985


def test_known_words_are_suggested_and_taken_by_keyboard(page):
    field = page.get_by_label("Phrase 1", exact=True)
    field.press_sequentially("the p")
    options = page.get_by_role("option")
    expect(options).to_have_text(["person"])
    expect(field).to_have_attribute("aria-expanded", "true")
    field.press("ArrowDown")
    expect(options.first).to_have_attribute("aria-selected", "true")
    assert field.get_attribute("aria-activedescendant") == options.first.get_attribute("id")
    field.press("Enter")
    expect(field).to_have_value("the person")
    expect(options).to_have_count(0)
    field.press_sequentially(" b")
    expect(options).to_have_text(["bright"])
    field.press("Escape")
    expect(options).to_have_count(0)
    expect(field).to_have_value("the person b")
    field.press("Backspace")
    field.press_sequentially("s")
    page.get_by_role("option", name="sky").click()
    expect(field).to_have_value("the person sky")


def test_unknown_words_are_marked_and_replaced_by_keyboard(page):
    choose(page)
    say(page, "brigth car ")
    expect(page.locator(".unknown")).to_have_text("brigth")
    expect(page.locator(".reading")).to_contain_text("brigth is not a word it knows.")
    button = page.get_by_role("button", name="Replace brigth by bright")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Phrase 1", exact=True)).to_have_value("bright car ")
    expect(page.locator(".unknown")).to_have_count(0)
    field = page.get_by_label("Phrase 1", exact=True)
    field.fill("bri")  # the beginning of a known word is no mistake while one types it
    expect(page.locator(".reading")).to_have_text("")
    expect(field).to_have_attribute("aria-invalid", "false")
    field.blur()
    expect(page.locator(".unknown")).to_have_text("bri")
    expect(results(page)).to_have_text("No known word, so no mask.")
    page.get_by_label("Phrase 1", exact=True).fill("xylophone")
    expect(results(page)).to_have_text("No known word, so no mask.")
    expect(page.get_by_label("Phrase 1", exact=True)).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Phrase 1", exact=True).fill("bright automobile")
    expect(page.locator(".reading")).to_have_text("automobile is read as car.")


@pytest.mark.parametrize(("data", "said"), [
    (b"no picture", "not a picture"),
    (half_bright(ending=".jpg")[:-99], "damaged JPEG"),
], ids=["text", "truncated"])
def test_a_file_that_cannot_be_used_is_an_error_in_words_and_nothing_is_lost(page, data, said):
    choose(page)
    say(page, "bright")
    expect(results(page)).to_contain_text("50 %")
    choose(page, data)
    expect(page.get_by_role("alert")).to_contain_text(said)
    expect(page.get_by_role("alert").get_by_role("button")).to_be_hidden()
    page.get_by_label("Phrase 1", exact=True).fill("dark")  # in the picture before, which stays
    expect(results(page)).to_contain_text("score 0.94")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_file_that_is_too_large_is_not_sent(page, tmp_path):
    (tmp_path / "large.png").write_bytes(bytes(MAX_BYTES + 10**6))
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    page.locator("#file").set_input_files(tmp_path / "large.png")
    expect(page.get_by_role("alert")).to_contain_text("large.png has 26 MB; at most 25 MB")
    assert not sent


def test_a_picture_that_the_server_has_forgotten_is_sent_again(page, server):
    choose(page)
    say(page, "bright")
    expect(results(page)).to_contain_text("50 %")
    for _ in range(5):
        server[1].add(PICTURE)
    page.get_by_label("Phrase 1", exact=True).fill("dark")
    expect(results(page)).to_contain_text("score 0.94")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_server_that_is_gone_is_an_error_until_it_is_back(chromium):
    first, pictures = serve()
    port = int(first.effective_port)
    with opened(chromium, first) as page:
        choose(page)
        say(page, "bright")
        expect(results(page)).to_contain_text("50 %")
        stop(first, port)
        page.get_by_label("Phrase 1", exact=True).fill("dark")
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer.")
        second, others = serve(port)
        page.get_by_role("button", name="Try again").click()
        expect(results(page)).to_contain_text("score 0.94")
        expect(page.get_by_role("alert")).to_be_hidden()
    stop(second, port)
    pictures.close()
    others.close()


def stop(server, port):
    """Close a server and its connections, and wait until nobody listens."""
    for connection in list(server.active_channels.values()):
        connection.will_close = True
    server.close()
    with socket.socket() as probe:
        while probe.connect_ex(("127.0.0.1", port)) == 0:
            pass


STATES = ("start", "loading", "masks", "map", "suggestions", "unknown", "empty mask", "error")


def reach(page, state):
    """Bring the page into a state."""
    if state == "start":
        return
    if state == "loading":
        page.route("**/pictures", lambda route: None)  # no answer
        choose(page)
        expect(page.get_by_role("status").first).to_have_text("Looking at the picture …")
        return
    if state == "error":
        choose(page, b"no picture")
        expect(page.get_by_role("alert")).to_be_visible()
        return
    choose(page)
    say(page, {"unknown": "brigth car ", "empty mask": "sky"}.get(state, "bright"))
    expect(results(page)).not_to_have_text("")
    if state == "map":
        page.get_by_label("response map").check()
    if state == "suggestions":
        say(page, " d")
        page.keyboard.press("ArrowDown")
        expect(page.get_by_role("option")).to_have_text(["dark"])


@functools.cache
def axe():
    """The script of axe-core, which a package of Python has with it."""
    package = pytest.importorskip("axe_playwright_python", reason="no axe-core here")
    (script,) = Path(package.__file__).parent.rglob("axe.min.js")
    return script.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault_in_any_state_and_a_phone_shows_it_without_scrolling_sideways(
    chromium, server, scheme, width
):
    axe()
    for state in STATES:
        options = {"viewport": {"width": width, "height": 780}, "color_scheme": scheme}
        with opened(chromium, server[0], **options) as page:
            reach(page, state)
            page.evaluate(axe())
            found = page.evaluate("axe.run(document)")["violations"]
            assert not found, f"{state}: {json.dumps(found, indent=1)}"
            widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
            assert widths[0] <= widths[1] == width, state
