"""Public files, fetched: resumed, verified, unpacked inside their folder, and known when whole."""

import contextlib
import errno
import fcntl
import hashlib
import http.client
import json
import os
import re
import socket
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from objseg.archives import RoomError, WrongFileError, amount, check_room, unpack
from objseg.errors import UserError
from objseg.files import Progress, write_text

BLOCK = 1 << 18  # bytes read from a server at a time
HEADWAY = 1 << 20  # a broken transfer that gained this many bytes does not count as a failed try


class DownloadError(UserError):
    """Something could not be fetched; the message says what to do by hand."""


class PlaceError(Exception):
    """One place gave no file. ``again`` (bool): the same place may do better on another try."""

    def __init__(self, message, again=False):
        super().__init__(message)
        self.again = again


@dataclass(frozen=True)
class File:
    """One file of the manifest.

    ``path`` (relative to the root) is where the file itself lies; ``places`` are its URLs, tried in
    order. ``size`` (bytes), ``sha1`` and ``sha256`` (hex) are checked where known. An archive names
    the folder it is unpacked into, ``unpack``, and ``holds``: patterns of which each must match an
    entry at the top of the unpacked tree.
    """

    path: str
    places: tuple
    size: int | None = None
    sha1: str | None = None
    sha256: str | None = None
    unpack: str | None = None
    holds: tuple = ()

    def __post_init__(self):
        for path in filter(None, (self.path, self.unpack)):
            if path.startswith("/") or ".." in path.split("/"):
                raise UserError(f"{path!r} is not a path inside the root")
        for place in self.places:
            if not place.startswith(("http://", "https://")):
                raise UserError(f"{place!r} is neither an http nor an https URL")

    @property
    def facts(self):
        """Return the facts about the file that are known beforehand: {name: value}."""
        known = {"size": self.size, "sha1": self.sha1, "sha256": self.sha256}
        return {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True)
class Item:
    """An entry of the manifest, by its NAME: its ``files``, and prose for people."""

    name: str
    about: str
    terms: str
    files: tuple
    by_hand: str = ""


def read_manifest(path):
    """Return {name: Item} in the order of the JSON file ``path``; DownloadError if it is broken."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        items = {}
        for name, entry in content["items"].items():
            files = tuple(
                File(**{k: tuple(v) if isinstance(v, list) else v for k, v in file.items()})
                for file in entry["files"]
            )
            items[name] = Item(name=name, **{**entry, "files": files})
        return items
    except (OSError, UserError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DownloadError(f"{path}: not a manifest: {error}") from error


def item_size(item):
    """The bytes of all files of ``item`` together, or None where one is unknown."""
    sizes = [file.size for file in item.files]
    return None if None in sizes else sum(sizes)


# --- What is already there ---


def item_state(item, root):
    """Return in a word how much of ``item`` is there below the folder ``root``.

    ``ready``: verified and, if an archive, unpacked; ``found``: the unpacked tree was put there by
    hand; ``started``: something is there, unfinished or not verified; ``missing``: nothing is.
    """
    states = {_file_state(file, Path(root)) for file in item.files}
    if states <= {"ready", "found"}:
        return "found" if "found" in states else "ready"
    return "missing" if states == {"missing"} else "started"


def _file_state(file, root):
    target = root / file.path
    if _stamped(file, root):
        return "ready"
    if file.unpack:
        unpacked = _all_held(file.holds, root / file.unpack)
        if unpacked and not target.exists() and not _work_folder(file, root).exists():
            return "found"
    return "started" if target.exists() or _part(target).exists() else "missing"


def _all_held(patterns, folder):
    return all(next(folder.glob(pattern), None) is not None for pattern in patterns)


def _stamped(file, root):
    """Whether an earlier run verified the file, in the state in which it is now."""
    target = root / file.path
    stamp = _read_json(_beside(target, ".stamp"))
    if "sha256" not in stamp or any(stamp.get(k) != value for k, value in file.facts.items()):
        return False
    if file.unpack:  # the archive itself may be deleted to save room
        return _all_held(file.holds, root / file.unpack)
    with contextlib.suppress(FileNotFoundError):
        found = target.stat()
        return (found.st_size, found.st_mtime_ns) == (stamp.get("size"), stamp.get("mtime_ns"))
    return False


def _write_stamp(file, root, facts):
    target = root / file.path
    facts = {**facts, "mtime_ns": target.stat().st_mtime_ns}
    write_text(_beside(target, ".stamp"), json.dumps(facts, indent=2) + "\n")


def _beside(path, ending):
    return path.with_name(path.name + ending)


def _part(target):
    return _beside(target, ".part")


def _read_json(path):
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    return {}


def _say(message):
    print(message, file=sys.stderr, flush=True)


# --- Fetching ---


def fetch(item, root, timeout=30.0, tries=3, wait=1.0):
    """Bring every file of ``item`` to its place below the folder ``root``, verified and unpacked.

    What is there already is left alone; a file put there by hand is verified and used. A server
    that is silent for ``timeout`` seconds is given up; a place is tried ``tries`` times, with
    pauses of ``wait``, 2 ``wait``, 4 ``wait`` … seconds, before the next one. Raises DownloadError
    when a file cannot be had, once all files of the item were tried.
    """
    root = Path(root)
    failures = []
    for file in item.files:
        target = root / file.path
        try:
            with _alone_in(target.parent):
                _fetch_file(item, file, root, timeout, tries, wait)
        except (DownloadError, RoomError) as error:
            failures.append(str(error))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            failures.append(
                f"{file.path}: the disk of {root} is full. What arrived is kept; make room and run "
                f"this command again."
            )
    if failures:
        raise DownloadError(f"{item.name}: " + "\n".join(failures))


@contextlib.contextmanager
def _alone_in(folder):
    """Let one process at a time download into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"waiting for another download into {folder}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            pass  # some network file systems lock no folders; go on without
        yield
    finally:
        os.close(handle)


def _fetch_file(item, file, root, timeout, tries, wait):
    target, part = root / file.path, _part(root / file.path)
    state = _file_state(file, root)
    if state == "found":
        _say(f"{item.name}: found {', '.join(file.holds)} in {file.unpack}; used as they are")
    elif state == "ready":
        _say(f"{item.name}: {file.unpack or file.path} is ready")
    elif target.exists():
        try:
            facts = _accept(file, root, target)
        except WrongFileError as error:
            raise DownloadError(
                f"{target} is not the right file: {error}. Move it away and run this command again."
            ) from error
        _write_stamp(file, root, facts)
        _say(f"{item.name}: {file.path} was there and is good")
    else:
        errors = []
        for place in file.places:
            try:
                facts = _fetch_from(place, item, file, root, timeout, tries, wait)
                break
            except PlaceError as error:
                errors.append(f"  {place}\n    {error}")
                _say(f"{item.name}: {place}: {error}")
        else:
            raise DownloadError(_by_hand(item, file, root, errors))
        os.replace(part, target)
        _beside(part, ".from").unlink(missing_ok=True)
        _write_stamp(file, root, facts)
        _say(f"{item.name}: {file.path} is ready, sha256 {facts['sha256']}")
        if file.unpack:
            _say(f"{item.name}: unpacked into {file.unpack}; {file.path} may be deleted")


def _by_hand(item, file, root, errors):
    expected = [amount(file.size)] + [f"{k} {v}" for k, v in file.facts.items() if k != "size"]
    lines = [f"no place gave a good copy of {file.path}", *errors]
    lines.append(f"Fetch it by hand ({', '.join(expected)}) from any copy you trust.")
    if item.by_hand:
        lines.append(item.by_hand)
    lines.append(f"Put it at {root / file.path}")
    lines.append(f"and run `python tools/download.py {item.name}` again: it verifies the file"
                 + (" and unpacks it." if file.unpack else "."))
    return "\n".join(lines)


def _fetch_from(place, item, file, root, timeout, tries, wait):
    """Download ``file`` from one place into its part file, accept it, and return its facts."""
    part = _part(root / file.path)
    _say(f"{item.name}: fetching {place}")
    failed, restarted = 0, False
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            resumed = _transfer(place, file, part, timeout)
            return _accept(file, root, part)
        except WrongFileError as error:
            part.unlink()
            # Two halves of different files can come together when a server changes its copy.
            if not resumed or restarted:
                raise PlaceError(str(error)) from error
            restarted = True
            _say(f"{item.name}: the resumed file is wrong ({error}); starting from its beginning")
        except PlaceError as error:
            gained = (part.stat().st_size if part.exists() else 0) - before
            failed = 0 if gained >= HEADWAY else failed + 1
            if not error.again or failed >= tries:
                raise
            pause = wait * 2 ** max(failed - 1, 0)
            _say(f"{item.name}: {error}; trying again in {pause:g} s")
            time.sleep(pause)


def _transfer(url, file, part, timeout):
    """Complete the part file by one request; return whether it continued an earlier one.

    Beside the part file lies a note of where it came from, for a part is only continued from the
    same URL, and, where the server names its version of the file, from the same version.
    """
    note = _beside(part, ".from")
    origin = _read_json(note)
    start = part.stat().st_size if part.exists() and origin.get("url") == url else 0
    if file.size is not None and start > file.size:
        start = 0
    if start and start in (file.size, origin.get("size")):
        return True
    headers = {"User-Agent": "objseg", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if origin.get("version"):
            headers["If-Range"] = origin["version"]
    with _open(url, headers, timeout, part) as response:
        if response.status == 206:
            span = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            if not start or not span or int(span.group(1)) != start:
                part.unlink()
                raise PlaceError("it sent another part of the file than the one asked", again=True)
        elif response.status == 200:
            start = 0
        else:
            raise PlaceError(f"HTTP status {response.status}, expected 200")
        if response.headers.get_content_type() == "text/html":
            raise PlaceError("it sent a web page, not the file")
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        if None not in (total, file.size) and total != file.size:
            raise PlaceError(f"its file has {total} bytes, expected {file.size}")
        check_room(part.parent, (total or file.size or 0) - start)
        if not start:
            tag = response.headers.get("ETag", "")
            version = tag if tag.startswith('"') else response.headers.get("Last-Modified")
            write_text(note, json.dumps({"url": url, "version": version, "size": total}))
        with open(part, "ab" if start else "wb") as output:
            _receive(response, output, start, total, file)
    return start > 0


def _open(url, headers, timeout, part):
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        again = error.code in (408, 425, 429) or error.code >= 500
        if error.code == 416 and "Range" in headers:  # nothing follows the part, so it is no part
            part.unlink()
            again = True
        raise PlaceError(f"HTTP status {error.code} {error.reason}", again) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise PlaceError(
                f"its certificate cannot be verified ({error.reason.verify_message}); "
                f"are the system's CA certificates installed (package ca-certificates)?"
            ) from error
        unknown = isinstance(error.reason, socket.gaierror)
        raise PlaceError(f"not reachable: {error.reason}", again=not unknown) from error
    except (OSError, http.client.HTTPException) as error:
        raise PlaceError(f"not reachable: {error or type(error).__name__}", again=True) from error


def _receive(response, output, start, total, file):
    """Copy the body of ``response`` to ``output``, showing progress in MiB."""
    done, name = start, Path(file.path).name
    with contextlib.ExitStack() as stack:
        expected = total or file.size
        if expected:
            progress = stack.enter_context(
                Progress(-(-expected >> 20), name, "MiB", initial=start >> 20)
            )
        while total is None or done < total:
            try:
                block = response.read1(BLOCK)
            except (OSError, http.client.HTTPException) as error:
                raise PlaceError(
                    f"broke off after {done} bytes ({error or type(error).__name__})", again=True
                ) from error
            if not block:
                break
            output.write(block)
            if expected:
                progress.advance(((done + len(block)) >> 20) - (done >> 20))
            done += len(block)
            if file.size and done > file.size:
                raise PlaceError(f"it sends more than the expected {file.size} bytes")
    if total is not None and done < total:
        raise PlaceError(f"broke off after {done} of {total} bytes", again=True)


# --- Verifying ---


def _accept(file, root, path):
    """Verify ``path`` as a copy of ``file``, unpack it if need be, and return its facts."""
    facts = verify(path, file)
    if file.unpack:
        unpack(path, root / file.unpack, _work_folder(file, root), file.holds)
    return facts


def verify(path, file):
    """Return {size, sha1, sha256} of ``path``; WrongFileError if ``file`` has other ones."""
    facts = {"size": Path(path).stat().st_size}
    hashes = {"sha1": hashlib.sha1(), "sha256": hashlib.sha256()}
    with open(path, "rb") as content:
        beginning = content.read(512)
        if re.match(rb"\s*<(!doctype html|html)", beginning, re.IGNORECASE):
            raise WrongFileError("it is a web page, not the file")
        if file.path.endswith(".gz") and beginning[:2] != b"\x1f\x8b":
            raise WrongFileError("it is no gzip file")
        if file.size is not None and facts["size"] != file.size:
            raise WrongFileError(f"it has {facts['size']} bytes, expected {file.size}")
        content.seek(0)
        for block in iter(lambda: content.read(1 << 20), b""):
            for digest in hashes.values():
                digest.update(block)
    facts.update((name, digest.hexdigest()) for name, digest in hashes.items())
    for name, value in file.facts.items():
        if facts[name] != value:
            raise WrongFileError(f"its {name} is {facts[name]}, expected {value}")
    return facts


def _work_folder(file, root):
    return root / file.unpack / f".unpacking-{PurePosixPath(file.path).name}"
