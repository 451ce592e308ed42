"""Fetch public files: resumed, verified, and unpacked inside their folder.

requests transfers a file, and pooch verifies its checksum and moves it to its place.
"""

import gzip
import logging
import os
import re
import shutil
import zlib
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from objseg.download.archives import WrongFileError, unpack, work_folder
from objseg.download.manifest import File, Item, amount
from objseg.errors import UserError
from objseg.files import INSTALLED, Progress, lock

BLOCK = 1 << 18  # bytes read from a server at a time
HEADWAY = 1 << 20  # a broken transfer that gained this many bytes does not count as a failed try

log = logging.getLogger(__name__)
pooch.get_logger().setLevel("WARNING")  # its lines and urllib3's repeat ours
logging.getLogger("urllib3").setLevel("ERROR")


class DownloadError(UserError):
    """A file could not be fetched, or what is in its place is not that file."""


# --- What is there already ---


def item_state(item: Item, root: Path) -> str:
    """Return ``ready``, ``started`` or ``missing``: how much of ``item`` is below ``root``.

    A file is ready when it has its size and checksum; an archive when its unpacked tree is there,
    from this module or put there by hand.
    """
    states = {_file_state(file, Path(root)) for file in item.files}
    return states.pop() if len(states) == 1 else "started"


def _file_state(file, root):
    target = root / file.path
    if file.unpack:
        folder = root / file.unpack
        complete = all(any(folder.glob(pattern)) for pattern in file.holds)
        if complete and not work_folder(target, folder).exists():
            return "ready"
    elif target.exists() and not fault_of(target, file):
        return "ready"
    begun = target.exists() or _part(target).exists()
    return "started" if begun else "missing"


def fault_of(path, file):
    """Return how the file at ``path`` differs from the manifest's ``file``; None if it does not."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"it has {size} bytes, expected {file.size}"
    if file.known_hash and not pooch.hashes.hash_matches(path, file.known_hash):
        return f"its checksum is not the expected {file.known_hash}"
    with open(path, "rb") as content:
        beginning = content.read(512)
    if re.match(rb"\s*<(!doctype html|html)", beginning, re.IGNORECASE):
        return "it is a web page, not the file"
    if file.path.endswith(".gz"):
        try:
            with gzip.open(path) as content:
                while content.read(1 << 20):
                    pass  # gzip compares its checksum at the end
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            return f"it is no whole gzip file: {error}"
    return None


def wrong_file(target: Path, fault: str, name: str) -> DownloadError:
    """Return the error for a ``target``, of the item ``name``, that has a ``fault``."""
    return DownloadError(
        f"{target} is not the right file: {fault}. Move it away and {how_to_fetch(name)}"
    )


def how_to_fetch(name: str) -> str:
    """Return what to do, once the reason is gone, to have the item ``name`` fetched."""
    return "try again" if INSTALLED else f"run: python tools/download.py {name}"


def _unpack(target, root, file):
    """Unpack ``target`` if it is an archive; return what is wrong with it, None if nothing is."""
    if not file.unpack:
        return None
    try:
        log.info(f"unpacking {file.path} into {file.unpack}")
        unpack(target, root / file.unpack, file.holds)
    except WrongFileError as error:
        return str(error)
    log.info(f"{file.path} may be deleted")
    return None


# --- Fetching ---


class PlaceError(UserError):
    """One place gave no good copy of a file."""


class Client:
    """Fetches files over one session, and remembers the hosts that it could not reach.

    A server that is silent for ``timeout`` seconds is given up. A busy or unreachable one is asked
    ``tries`` times, with pauses that begin at ``wait`` seconds and double.
    """

    def __init__(self, timeout: float = 30.0, tries: int = 3, wait: float = 1.0):
        self.timeout, self.tries, self.unreachable = timeout, tries, set()
        retry = Retry(
            total=tries - 1, backoff_factor=wait, raise_on_status=False,
            status_forcelist=(408, 425, 429, 500, 502, 503, 504),
        )
        self.session = requests.Session()
        self.session.headers.update({"User-Agent": "objseg", "Accept-Encoding": "identity"})
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, HTTPAdapter(max_retries=retry))

    def fetch(self, item: Item, root: Path) -> list[File]:
        """Bring the files of ``item`` to their places below ``root``, verified and unpacked.

        What is ready is left alone, and a file put there by hand is verified and used. Returns the
        files that no place gave. Raises DownloadError where the file in place is wrong, and
        OSError where the disk is full: what has arrived is kept and continued.
        """
        return [file for file in item.files if not self._make_ready(item.name, file, Path(root))]

    def _make_ready(self, name, file, root):
        target = root / file.path
        if _file_state(file, root) != "ready":
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                fault = fault_of(target, file) or _unpack(target, root, file)
                if fault:
                    raise wrong_file(target, fault, name)
            elif not any(self._fetch_from(place, file, root) for place in file.places):
                return False
        log.info(f"{name}: {file.unpack or file.path} is ready")
        return True

    def _fetch_from(self, place, file, root):
        """Download, verify and unpack ``file``; return whether ``place`` had a good one."""
        host = urlsplit(place).hostname
        if host in self.unreachable:
            return False
        log.info(f"fetching {place}")
        target = root / file.path
        try:
            resumed = _part(target).exists()
            try:
                self._retrieve(place, file, root)
            except WrongFileError as error:
                if not resumed:
                    raise
                # A part of another copy of the file cannot be continued.
                log.warning(f"the resumed file is wrong ({error}); starting from its beginning")
                self._retrieve(place, file, root)
        except requests.ConnectionError as error:
            cause = getattr(error.args[0], "reason", error)
            log.warning(f"{place}: not reachable or broken off: {str(cause).rpartition(': ')[2]}")
            if not _part(target).exists():
                self.unreachable.add(host)
        except (requests.RequestException, PlaceError, WrongFileError) as error:
            log.warning(f"{place}: {error}")
        else:
            return True
        return False

    def _retrieve(self, place, file, root):
        target = root / file.path
        try:
            pooch.retrieve(
                place, file.known_hash, target.name, target.parent,
                downloader=lambda url, output, _: self._download(url, output, file, target),
            )
        except ValueError as error:  # pooch found another checksum, and keeps no such file
            raise WrongFileError(str(error)) from error
        fault = fault_of(target, file) or _unpack(target, root, file)
        if fault:
            target.unlink()
            raise WrongFileError(fault)

    def _download(self, url, output, file, target):
        """Complete the part file of ``target``, and move it to ``output``, a name of pooch's."""
        part, failed = _part(target), 0
        while True:
            before = part.stat().st_size if part.exists() else 0
            try:
                self._continue(url, part, file)
                break
            except requests.ConnectionError:
                gained = (part.stat().st_size if part.exists() else 0) - before
                failed = 0 if gained >= HEADWAY else failed + 1
                if gained == 0 or failed >= self.tries:
                    raise
        os.replace(part, output)

    def _continue(self, url, part, file):
        """Request what is missing of ``part`` and append it."""
        start = part.stat().st_size if part.exists() else 0
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self.session.get(url, stream=True, timeout=self.timeout, headers=headers) as response:
            span = response.headers.get("Content-Range", "")
            if response.status_code == 416:  # nothing follows the part: it is whole, or no part
                if not span.endswith(f"/{start}"):
                    part.unlink()
                    raise requests.ConnectionError("the server has less than was fetched before")
                return
            response.raise_for_status()
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise PlaceError("it sent a web page, not the file")
            if not span.startswith(f"bytes {start}-"):
                start = 0  # the server sends all of it again
            length = response.headers.get("Content-Length")
            total = start + int(length) if length else None
            if None not in (total, file.size) and total != file.size:
                raise PlaceError(f"its file has {total} bytes, expected {file.size}")
            with open(part, "ab") as output:
                lock(output, f"{part}: another process is fetching it; wait for its end")
                output.seek(output.truncate(start))
                _receive(response, output, total or file.size)


def _part(target):
    """Return the file that holds what has arrived of ``target``."""
    return target.with_name(target.name + ".part")


def _receive(response, output, total):
    """Append the body of ``response`` to ``output``, up to ``total`` bytes (None: unknown)."""
    done = output.tell()
    room = shutil.disk_usage(Path(output.name).parent).free
    if total and total - done > room:
        raise DownloadError(
            f"{output.name}: {amount(total - done)} more are needed on the disk, {amount(room)} "
            "are free; make room and run the command again"
        )
    name = Path(output.name).stem
    with Progress(-(-(total or 0) >> 20), name, "MiB", initial=done >> 20) as progress:
        for block in _blocks(response):
            output.write(block)
            progress.advance((done + len(block) >> 20) - (done >> 20))
            done += len(block)
            if total and done > total:
                raise PlaceError(f"it sends more than the expected {total} bytes")


def _blocks(response):
    """Yield the body of ``response`` as it arrives, up to a break, which iter_content would not."""
    try:
        while block := response.raw.read1(BLOCK):
            yield block
    except HTTPError as error:
        raise requests.ConnectionError(error) from error
