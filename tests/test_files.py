import contextlib
import errno
import io
import os
import resource

import h5py
import numpy as np
import pytest

from objseg.files import Progress, atomic_path, write_text
from objseg.hdf5 import atomic_hdf5


@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_written_file_has_the_rights_that_the_user_asks_for(tmp_path, umask, mode):
    earlier = os.umask(umask)
    try:
        write_text(tmp_path / "folder" / "a.txt", "naïve")
    finally:
        os.umask(earlier)
    path = tmp_path / "folder" / "a.txt"
    assert path.stat().st_mode & 0o777 == mode and path.read_text(encoding="utf-8") == "naïve"


def test_a_failed_write_leaves_the_earlier_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "a.txt", "earlier")
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "a.txt") as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".txt"
        temporary.write_text("half of")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "earlier"


@contextlib.contextmanager
def files_of_4_kilobytes():
    """Let no file grow beyond 4096 bytes, where a write fails as it does on a full disk.

    The limit holds for pytest's own output, too, so no more than the write belongs inside.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("ending", ["txt", "h5"])
def test_a_disk_without_room_is_named_with_the_file(tmp_path, capfd, ending):
    path = tmp_path / f"a.{ending}"

    def write(size):
        with files_of_4_kilobytes():
            if ending == "txt":
                write_text(path, "x" * size)
            else:
                with atomic_hdf5(path) as file:
                    file["a"] = np.ones(size, np.uint8)

    write(100)
    with pytest.raises(OSError) as caught:
        write(9000)
    assert caught.value.errno == errno.EFBIG and str(path) in str(caught.value)
    assert list(tmp_path.iterdir()) == [path] and path.stat().st_size <= 4096
    assert capfd.readouterr().err == ""
    if ending == "h5":
        with h5py.File(path) as file:
            assert file["a"].shape == (100,)


def test_a_folder_name_that_is_not_utf8_can_be_written_about(tmp_path):
    name = os.fsdecode(b"e\xfc")
    write_text(tmp_path / name / "report", f"made in {name}")
    assert (tmp_path / name / "report").read_bytes() == b"made in e\\udcfc"


def test_progress_in_a_log_is_plain_lines(capsys):
    log = io.StringIO()
    with Progress(8, "draw", "scene", initial=2, interval=0, stream=log) as progress:
        progress.advance(2)
        progress.write("skipped: one")
        progress.advance(4, note="loss 3")
    lines = log.getvalue().splitlines()
    assert lines[0].startswith("draw: 4/8 scene, ") and lines[0].endswith(" left")
    assert lines[1] == "skipped: one" and len(lines) == 4
    assert lines[3].startswith("draw: 8/8 scene, ") and lines[3].endswith("00:00 left, loss 3")
    assert "\r" not in log.getvalue() and log.getvalue().endswith("loss 3\n")
    assert capsys.readouterr() == ("", "")


def test_progress_in_a_log_waits_between_lines():
    log = io.StringIO()
    with Progress(1000, "draw", interval=60, stream=log) as progress:
        for _ in range(1000):
            progress.advance()
    assert log.getvalue().count("\n") == 1
