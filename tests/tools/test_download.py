"""Downloads against a local server that misbehaves in every way the real ones do."""

import gzip
import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from objseg.download import archives, client
from objseg.download.archives import WrongFileError, unpack
from objseg.download.client import Client, DownloadError, fault_of, item_state
from objseg.download.manifest import File, Item, by_hand, read_manifest
from objseg.errors import UserError, is_for_user
from objseg.files import REPOSITORY

BODY = bytes(range(256)) * 400  # 102,400 bytes
SHA256 = hashlib.sha256(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``pages``: {path: bytes, or a function that answers the request itself}."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages, self.requests = {}, []
        self.released = threading.Event()  # ends the stalls when the test is over
        self.url = f"http://127.0.0.1:{self.server_port}"

    def ranges(self, path):
        return [headers.get("Range") for asked, headers in self.requests if asked == path]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802 - named by http.server
        self.server.requests.append((self.path, dict(self.headers)))
        assert len(self.server.requests) < 40, "requests are not bounded"
        page = self.server.pages.get(self.path)
        if page is None:
            self.send_error(404)
        elif callable(page):
            page(self)
        else:
            self.body(page)

    def head(self, status, length, **headers):
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def body(self, content, **headers):
        self.head(200, len(content), **headers)
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


def ranged(content, cut=None, etag='"v1"'):
    """A page that honours Range and If-Range; the answer breaks off after ``cut`` bytes."""

    def answer(handler):
        start = 0
        wanted = handler.headers.get("Range")
        if wanted and handler.headers.get("If-Range", etag) == etag:
            start = int(wanted[len("bytes="):-1])
        rest = content[start:]
        span = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        handler.head(206 if start else 200, len(rest), ETag=etag, **(span if start else {}))
        handler.wfile.write(rest[:cut])

    return answer


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


def item(server, *paths, name="vgg16", **facts):
    facts.setdefault("path", "models/weights.bin")
    file = File(places=tuple(server.url + path for path in paths), **facts)
    return Item(name=name, about="", terms="", files=(file,), by_hand="Ask the authors.")


def get(item, root):
    """Fetch ``item``, which some place must have."""
    assert failed(item, root) == []


def failed(item, root):
    """Return the files of ``item`` that no place gave."""
    return Client(timeout=0.3, tries=3, wait=0.01).fetch(item, root)


def weights(root):
    return (root / "models" / "weights.bin").read_bytes()


def leftovers(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def tar(path, *members, mode="w:gz"):
    """Write a tar file of (name, bytes or TarInfo) pairs."""
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def special(kind, target=""):
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, target
    return info


def zip_file(path, *members):
    """Write a zip file of (name or ZipInfo, bytes) pairs."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


# --- Transfers ---


def test_a_file_is_fetched_verified_and_then_left_alone(server, tmp_path):
    server.pages["/w"] = BODY
    wanted = item(server, "/w", size=len(BODY), sha256=SHA256)
    assert item_state(wanted, tmp_path) == "missing"
    get(wanted, tmp_path)
    get(wanted, tmp_path)
    assert weights(tmp_path) == BODY
    assert item_state(wanted, tmp_path) == "ready"
    assert len(server.requests) == 1
    assert leftovers(tmp_path) == ["weights.bin"]


def test_a_broken_transfer_goes_on_where_it_broke(server, tmp_path):
    server.pages["/w"] = ranged(BODY, cut=60000)
    get(item(server, "/w", sha256=SHA256), tmp_path)
    assert weights(tmp_path) == BODY
    assert server.ranges("/w") == [None, "bytes=60000-"]


def test_a_later_run_goes_on_where_an_earlier_one_gave_up(server, tmp_path):
    server.pages["/w"] = ranged(BODY, cut=20000)
    wanted = item(server, "/w", sha256=SHA256)
    assert failed(wanted, tmp_path) == list(wanted.files)
    assert item_state(wanted, tmp_path) == "started"
    server.pages["/w"] = ranged(BODY)
    get(wanted, tmp_path)
    assert weights(tmp_path) == BODY
    assert server.ranges("/w")[-1] == "bytes=60000-"


def test_a_file_that_changed_on_the_server_starts_again(server, tmp_path):
    server.pages["/w"] = ranged(b"old" * 30000, cut=20000)
    assert failed(item(server, "/w"), tmp_path)
    server.pages["/w"] = ranged(BODY, etag='"v2"')
    get(item(server, "/w", sha256=SHA256), tmp_path)
    assert weights(tmp_path) == BODY


def test_two_halves_of_different_files_are_told_by_the_checksum(server, tmp_path):
    def other_half(handler):  # a server without versions
        ranged(BODY if not handler.headers.get("Range") else bytes(len(BODY)), etag="")(handler)

    server.pages["/w"] = ranged(BODY, cut=20000, etag="")
    assert failed(item(server, "/w"), tmp_path)
    server.pages["/w"] = other_half
    get(item(server, "/w", sha256=SHA256), tmp_path)
    assert weights(tmp_path) == BODY


def test_a_server_that_ignores_range_sends_it_all_again(server, tmp_path):
    cuts = iter([50000, None])
    server.pages["/w"] = lambda handler: (
        handler.head(200, len(BODY)), handler.wfile.write(BODY[:next(cuts)])
    )
    get(item(server, "/w", sha256=SHA256), tmp_path)
    assert weights(tmp_path) == BODY
    assert server.ranges("/w") == [None, "bytes=50000-"]


def test_a_stalled_server_is_given_up_for_the_next_place(server, tmp_path):
    def stall(handler):
        handler.head(200, len(BODY))
        handler.wfile.write(BODY[:1000])
        handler.wfile.flush()
        handler.server.released.wait(10)

    server.pages.update({"/stall": stall, "/w": BODY})
    started = time.monotonic()
    get(item(server, "/stall", "/w", sha256=SHA256), tmp_path)
    assert weights(tmp_path) == BODY
    assert time.monotonic() - started < 5
    assert server.ranges("/stall") == [None, "bytes=1000-"]


def test_redirects_are_followed_and_loops_are_not(server, tmp_path):
    server.pages["/a"] = lambda handler: handler.head(302, 0, Location="/w")
    server.pages["/loop"] = lambda handler: handler.head(301, 0, Location="/loop")
    server.pages["/w"] = BODY
    get(item(server, "/loop", "/a", sha256=SHA256), tmp_path)
    assert weights(tmp_path) == BODY


def test_a_busy_server_is_asked_again_and_a_missing_page_is_not(server, tmp_path):
    answers = iter([503, 503, 200])

    def busy(handler):
        status = next(answers)
        handler.body(BODY) if status == 200 else handler.send_error(status)

    server.pages["/busy"] = busy
    get(item(server, "/missing", "/busy", sha256=SHA256), tmp_path)
    assert weights(tmp_path) == BODY
    assert [path for path, _ in server.requests] == ["/missing", "/busy", "/busy", "/busy"]


@pytest.mark.parametrize("wrong, headers, complaint", [
    (BODY[:-1] + b"x", {}, "does not match the known hash"),
    (BODY[:-1], {}, "102399 bytes, expected 102400"),
    (b" <!DOCTYPE html><html>Sign", {"Content_Type": "application/octet-stream"}, "not match"),
    (b"<p>Sign in", {"Content_Type": "text/html; charset=utf-8"}, "web page"),
])
def test_a_wrong_file_is_dropped_for_the_next_place(
    server, tmp_path, caplog, wrong, headers, complaint
):
    server.pages["/wrong"] = lambda handler: handler.body(wrong, **headers)
    server.pages["/w"] = BODY
    size = None if headers else len(BODY)
    get(item(server, "/wrong", "/w", size=size, sha256=SHA256), tmp_path)
    assert weights(tmp_path) == BODY
    assert len(server.ranges("/wrong")) == 1
    assert complaint in caplog.text


def test_a_body_longer_than_the_manifest_says_is_cut_off(server, tmp_path, caplog):
    def endless(handler):
        handler.head(200, None)
        for _ in range(1000):
            handler.wfile.write(BODY)

    server.pages["/w"] = endless
    assert failed(item(server, "/w", size=1000), tmp_path)
    assert "more than the expected 1000 bytes" in caplog.text


def test_where_every_place_fails_it_says_what_to_do_by_hand(server, tmp_path, caplog):
    wanted = item(server, "/a", "/b", size=len(BODY), sha1="9363e1f6")
    assert failed(wanted, tmp_path) == list(wanted.files)
    for place in ("/a", "/b"):
        assert f"{server.url}{place}: 404" in caplog.text
    said = by_hand(wanted, wanted.files[0], tmp_path)
    for part in ("100.0 KiB", "sha1:9363e1f6", "Ask the authors.", server.url + "/a",
                 str(tmp_path / "models" / "weights.bin")):
        assert part in said
    assert not (tmp_path / "models" / "weights.bin").exists()


def test_a_host_that_is_not_reached_is_named_and_not_asked_again(
    server, tmp_path, monkeypatch, caplog
):
    resolve = socket.getaddrinfo

    def no_such_host(host, *arguments):
        if host == "no-such-host":
            raise socket.gaierror(-2, "Name or service not known")
        return resolve(host, *arguments)

    monkeypatch.setattr(socket, "getaddrinfo", no_such_host)
    monkeypatch.setenv("no_proxy", "127.0.0.1,no-such-host")
    file = File(path="models/w", places=("http://no-such-host/w", "http://127.0.0.1:1/w"))
    asked = Client(timeout=0.3, tries=1)
    assert asked.fetch(Item("w", "", "", (file, file)), tmp_path) == [file, file]
    assert asked.unreachable == {"no-such-host", "127.0.0.1"}
    assert caplog.text.count("Name or service not known") == 1
    assert caplog.text.count("refused") == 1


def test_a_file_put_there_by_hand_is_verified_and_used(server, tmp_path):
    wanted = item(server, "/w", sha256=SHA256)
    target = tmp_path / "models" / "weights.bin"
    target.parent.mkdir()
    target.write_bytes(BODY[:100])
    with pytest.raises(DownloadError, match="not the right file: its checksum is not"):
        get(wanted, tmp_path)
    assert target.read_bytes() == BODY[:100]
    target.write_bytes(BODY)
    get(wanted, tmp_path)
    assert item_state(wanted, tmp_path) == "ready"
    assert server.requests == []


def test_a_file_changed_after_it_was_verified_is_no_longer_ready(server, tmp_path):
    server.pages["/w"] = BODY
    wanted = item(server, "/w", sha256=SHA256)
    get(wanted, tmp_path)
    (tmp_path / "models" / "weights.bin").write_bytes(b"x")
    assert item_state(wanted, tmp_path) == "started"
    with pytest.raises(DownloadError, match="Move it away"):
        get(wanted, tmp_path)


def test_a_full_disk_is_said_before_and_during_the_transfer(server, tmp_path, monkeypatch):
    server.pages["/w"] = BODY
    with monkeypatch.context() as patch:
        usage = client.shutil.disk_usage(tmp_path)._replace(free=1000)
        patch.setattr(client.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(DownloadError, match="100.0 KiB more are needed .* 1.0 KiB are free"):
            get(item(server, "/w"), tmp_path)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(client, "_receive", full)
    with pytest.raises(OSError, match="No space left") as raised:
        get(item(server, "/w", "/w"), tmp_path)
    assert is_for_user(raised.value)


def test_all_files_of_an_item_are_tried(server, tmp_path):
    server.pages["/b"] = BODY
    files = tuple(File(path=f"data/{n}", places=(f"{server.url}/{n}",)) for n in "ab")
    wanted = Item("annotations", "", "", files)
    assert failed(wanted, tmp_path) == [files[0]]
    assert (tmp_path / "data" / "b").read_bytes() == BODY
    assert item_state(wanted, tmp_path) == "started"


# --- Archives ---

TREE = (("images/1.jpg", b"jpg"), ("mask/1_1.mat", b"mat"))


def archive_item(server, *paths, **facts):
    return item(
        server, *paths, path="data/downloads/referit.tar.gz", unpack="data/raw/referit",
        holds=("images", "mask"), **facts,
    )


def test_an_archive_is_unpacked_once_and_may_then_be_deleted(server, tmp_path):
    server.pages["/r"] = tar(tmp_path / "r", *TREE, ("._images", b"junk")).read_bytes()
    wanted = archive_item(server, "/r")
    raw = tmp_path / "data" / "raw" / "referit"
    raw.mkdir(parents=True)
    (raw / "RealGames.txt").write_text("stays")
    get(wanted, tmp_path)
    assert leftovers(raw) == ["1.jpg", "1_1.mat", "RealGames.txt"]
    assert (raw / "images" / "1.jpg").read_bytes() == b"jpg"
    (tmp_path / "data" / "downloads" / "referit.tar.gz").unlink()
    assert item_state(wanted, tmp_path) == "ready"
    get(wanted, tmp_path)
    assert len(server.requests) == 1


def test_an_unpacked_tree_put_there_by_hand_is_used(server, tmp_path):
    raw = tmp_path / "data" / "raw" / "referit"
    for folder in ("images", "mask"):
        (raw / folder).mkdir(parents=True)
    assert item_state(archive_item(server, "/r"), tmp_path) == "ready"
    get(archive_item(server, "/r"), tmp_path)
    assert server.requests == []
    (raw / ".unpacking-referit.tar.gz").mkdir()  # an unpacking that was killed
    assert item_state(archive_item(server, "/r"), tmp_path) == "missing"


def test_an_unpacking_that_was_killed_is_done_again_without_a_request(
    server, tmp_path, monkeypatch
):
    server.pages["/r"] = ranged(tar(tmp_path / "r", *TREE).read_bytes())
    wanted = archive_item(server, "/r")

    def killed(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(archives.shutil, "copytree", killed)
        with pytest.raises(KeyboardInterrupt):
            get(wanted, tmp_path)
    assert item_state(wanted, tmp_path) == "started"
    get(wanted, tmp_path)
    assert item_state(wanted, tmp_path) == "ready"
    assert len(server.requests) == 1
    assert leftovers(tmp_path / "data" / "raw") == ["1.jpg", "1_1.mat"]


def test_a_bad_archive_is_dropped_for_the_next_place(server, tmp_path, caplog):
    good = tar(tmp_path / "good", *TREE).read_bytes()
    server.pages.update({
        "/hostile": tar(tmp_path / "bad", *TREE, ("../../evil", b"x")).read_bytes(),
        "/cut": good[:-30], "/text": b"not gzip at all", "/other": gzip.compress(b"not a tar"),
        "/good": good,
    })
    get(archive_item(server, "/hostile", "/cut", "/text", "/other", "/good"), tmp_path)
    for complaint in ("outside its folder: '../../evil'", "damaged", "no whole gzip file"):
        assert complaint in caplog.text
    assert len(server.requests) == 5
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("make", [tar, zip_file])
def test_one_folder_around_everything_is_dropped(tmp_path, make):
    archive = make(tmp_path / "a", ("top/1.txt", b"1"), ("top/2.txt", b"2"))
    unpack(archive, tmp_path / "out", holds=("*.txt",))
    assert leftovers(tmp_path / "out") == ["1.txt", "2.txt"]
    unpack(archive, tmp_path / "kept", holds=("top",))
    assert (tmp_path / "kept" / "top" / "1.txt").read_bytes() == b"1"


def zip_symlink(name, target):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, 0o120777 << 16
    return info, target


LINKED = [("link", special(tarfile.SYMTYPE, "/tmp")), ("link/evil", b"x")]
HOSTILE = {
    "tar: upwards": (tar, [("a/../../evil", b"x")]),
    "tar: absolute": (tar, [("/tmp/evil", b"x")]),
    "tar: write through a symlink": (tar, LINKED),
    "tar: hard link": (tar, [("hard", special(tarfile.LNKTYPE, "/etc/passwd"))]),
    "tar: device": (tar, [("null", special(tarfile.CHRTYPE))]),
    "tar: pipe": (tar, [("pipe", special(tarfile.FIFOTYPE))]),
    "tar: file as folder": (tar, [("a", b"x"), ("a/b", b"x")]),
    "zip: upwards": (zip_file, [("../evil", b"x")]),
    "zip: absolute": (zip_file, [("/tmp/evil", b"x")]),
    "zip: write through a link": (zip_file, [zip_symlink("link", "/tmp"), ("link/evil", b"x")]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_members_are_refused_and_nothing_stays(tmp_path, name):
    make, members = HOSTILE[name]
    archive = make(tmp_path / "a", ("good.txt", b"good"), *members)
    with pytest.raises(WrongFileError, match="outside its folder|unsafe|link or a device"):
        unpack(archive, tmp_path / "out")
    assert leftovers(tmp_path) == ["a"]
    assert not Path("/tmp/evil").exists()


def test_damage_to_an_archive_is_found(tmp_path):
    content = bytearray(tar(tmp_path / "a", ("a", os.urandom(50000))).read_bytes())
    content[-6] ^= 1  # gzip's own checksum, behind the last member
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(WrongFileError, match="damaged"):
        unpack(tmp_path / "a", tmp_path / "out")
    assert leftovers(tmp_path / "out") == []


# --- The manifest and the tool ---


def test_the_manifest_fills_the_layout_that_preparation_reads():
    items = read_manifest(REPOSITORY / "data" / "manifest.json")
    assert list(items) == [
        "referit", "expressions", "annotations", "splits", "edgeboxes", "vgg16",
        "vgg16-convolutions", "fcn32s", "structured-edges",
    ]
    paths = {file.path for entry in items.values() for file in entry.files}
    for name in ("bbox", "imcrop", "imsize", "query_test", "query_trainval"):
        assert f"data/raw/referit/referit_{name}.json" in paths
    assert "models/VGG_ILSVRC_16_layers.caffemodel" in paths
    for entry in items.values():
        assert entry.about and entry.terms
        for file in entry.files:
            assert len(file.sha1 or "0" * 40) == 40 and len(file.sha256 or "0" * 64) == 64
            assert bool(file.unpack) == bool(file.holds)


def test_the_checksums_are_those_of_the_real_annotations():
    real = Path(os.environ.get("OBJSEG_SHARED", REPOSITORY.parent / "shared")) / "referit"
    if not real.is_dir():
        pytest.skip(f"no real annotations at {real}")
    items = read_manifest(REPOSITORY / "data" / "manifest.json")
    for file in items["annotations"].files + items["splits"].files:
        assert fault_of(real / Path(file.path).name, file) is None


@pytest.mark.parametrize("file", [
    {"path": "../x", "places": []}, {"path": "/x", "places": []}, {"places": []},
    {"path": "x", "places": ["file:///etc/passwd"]}, {"path": "x", "places": [], "sha": "1"},
])
def test_a_broken_manifest_names_itself(tmp_path, file):
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"items": {"a": {"about": "", "terms": "", "files": [file]}}}))
    with pytest.raises(UserError, match="manifest.json: not a manifest"):
        read_manifest(manifest)


def test_the_tool_tries_every_name_and_tells_by_its_exit_status(server, tmp_path):
    server.pages["/b"] = BODY
    items = {
        name: {"about": "", "terms": "free", "files": [
            {"path": f"models/{name}", "places": [f"{server.url}/{name}"]}]}
        for name in "ab"
    }
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"items": items}))

    def tool(*arguments):
        command = [sys.executable, REPOSITORY / "tools" / "download.py", *arguments,
                   "--manifest", manifest, "--dir", tmp_path]
        return subprocess.run(command, capture_output=True, text=True, timeout=30)

    both = tool("a", "b")
    assert both.returncode == 1
    assert "error: not fetched: a" in both.stderr
    assert (tmp_path / "models" / "b").read_bytes() == BODY
    assert tool("b").returncode == 0
    assert tool("c").returncode == tool().returncode == 2
    listed = tool("--list")
    assert listed.returncode == 0
    assert "missing" in listed.stdout and "ready" in listed.stdout
