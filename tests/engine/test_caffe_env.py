"""The caffe-env command and tools/common/environment.py, on a host of stub commands."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from objseg.files import REPOSITORY

TOOLS = """awk bash cat cut df dirname du echo env flock grep ln ls mkdir readlink rm sed sh
    sha256sum sleep sync tail touch true uname""".split()
NOBODY = 65534

SETUP = """#!/bin/bash
set -e
echo run >> {folder}/calls
cat # what the command is to read must not be taken by the set-up
[ -z "$(ls -A "$1")" ] # the folder is new
. {folder}/setup-does
mkdir -p "$1/bin" "$1/share/openmpi" "$(dirname "$1/{pycaffe}")"
ln -s {folder}/python "$1/bin/python"
touch "$1/{pycaffe}" "$1/made"
"""
PYCAFFE = "lib/python3.12/site-packages/caffe/__init__.py"


def write_program(path, text):
    path.unlink(missing_ok=True)  # never write through a link to the real command
    path.write_text(text)
    path.chmod(0o755)


class Host:
    """A machine with stub commands, a checkout and a home, all in ``folder``."""

    def __init__(self, folder):
        self.folder, self.bin, self.home = folder, folder / "bin", folder / "home"
        self.checkout = folder / "check out"
        self.script = self.checkout / "tools" / "caffe-env"
        for made in (self.bin, self.home, self.script.parent):
            made.mkdir(parents=True)
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        for name in ("apt-get", "dpkg-deb"):
            self.stub(name, "")
        for name in ("tools/caffe-env", "tools/common/environment.py", "objseg/errors.py"):
            (self.checkout / name).parent.mkdir(exist_ok=True)
            shutil.copy(REPOSITORY / name, self.checkout / name)
        for name in ("engine/unpack-packages", "engine/source.py", "engine/packages.txt",
                     "engine/requirements/build.txt", "engine/requirements/environment.txt",
                     "engine/requirements/cuda.txt", "engine/patches/01-first.patch",
                     "engine/kernels/first.cpp", "docs/engine.md"):
            self.append(name)
        write_program(self.checkout / "engine/setup", SETUP.format(folder=folder, pycaffe=PYCAFFE))
        write_program(folder / "python", "#!/bin/bash\n")
        self.setup_does("")

    def stub(self, name, body):
        write_program(self.bin / name, f"#!/bin/bash\n{body}\n")

    def put_caffe_at_hand(self, python=""):
        """Add the command caffe and a Python that can import pycaffe, if it exits with 0."""
        self.stub("caffe", "")
        self.stub("python", python)

    def append(self, name):
        """Add a line to a file of the checkout."""
        path = self.checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write("# a line\n")

    def setup_does(self, code):
        """Make engine/setup run bash ``code`` in the new folder $1; its key does not change."""
        (self.folder / "setup-does").write_text(code)

    def start(self, *words, user=None, **variables):
        """Start caffe-env with ``words``, as ``user`` (an id) where the tests run as root."""
        def become():
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # which a caller in the background ignores
            if user and os.geteuid() == 0:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)

        if user and os.geteuid() == 0:
            for path in [self.folder, *self.folder.rglob("*")]:
                os.chown(path, user, user, follow_symlinks=False)
        environment = {"PATH": self.bin, "HOME": self.home, **variables}
        return subprocess.Popen(
            [self.script, *map(str, words)], text=True, cwd=self.folder, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={name: str(value) for name, value in environment.items()}, preexec_fn=become,
        )

    def run(self, *words, given="", **settings):
        """Run caffe-env with ``given`` on standard input; returns the CompletedProcess."""
        process = self.start(*words, **settings)
        output, errors = process.communicate(given, timeout=30)
        return subprocess.CompletedProcess(words, process.returncode, output, errors)

    def variables_of_a_command(self, **variables):
        """{name: value} of the environment in which a command runs."""
        lines = self.run("env", **variables).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines)

    def path(self, **variables):
        return Path(self.run("--path", **variables).stdout.rstrip("\n"))

    @property
    def calls(self):
        """How often engine/setup was started."""
        calls = self.folder / "calls"
        return len(calls.read_text().split()) if calls.exists() else 0


@pytest.fixture
def host():
    # not tmp_path: pytest hides that from other users
    with tempfile.TemporaryDirectory(prefix="caffe-env-") as folder:
        os.chmod(folder, 0o755)
        yield Host(Path(folder))


def wait_for(condition):
    """Return what ``condition()`` returns as soon as that is true."""
    end = time.monotonic() + 30
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return value


def start_a_long_set_up(host):
    """Start caffe-env and wait until its set-up sleeps; returns (process, group of the set-up)."""
    noted = host.folder / "group"
    host.setup_does(f'touch "$1/partial"; echo $$ > {noted}; sleep 60')
    process = host.start("true")
    group = int(wait_for(lambda: noted.exists() and noted.read_text()))
    host.setup_does("")
    return process, group


@pytest.mark.parametrize("user", [None, NOBODY])
def test_arguments_folder_input_and_status_pass_through(host, user):
    code = 'cat; pwd; printf "[%s]" "$@"; echo; exit 37'
    done = host.run("bash", "-c", code, "name", "one two", "", "*", "q'u\"o", user=user,
                    given="read\n")
    assert done.stdout == f"read\n{host.folder}\n[one two][][*][q'u\"o]\n"
    assert done.returncode == 37
    assert (host.path() / "made").exists()
    again = host.run("true", user=user)
    assert (again.returncode, again.stderr) == (0, "")
    assert host.calls == 1  # the second use finds the environment


def test_environment_of_the_command(host):
    inside = host.variables_of_a_command(PYTHONPATH="/host", LC_ALL="xx_YY")
    assert inside["PYTHONPATH"] == f"{host.checkout}:{host.checkout}/python_layers"
    assert inside["PATH"] == f"{host.path()}/bin:{host.bin}"
    assert inside["OBJSEG_INSIDE"] == "1"
    assert inside["LC_ALL"] == "C.UTF-8"
    assert inside["OMPI_ALLOW_RUN_AS_ROOT"] == inside["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] == "1"


@pytest.mark.parametrize("name, value", [
    ("PYTHONHOME", "/usr"), ("PYTHONSAFEPATH", "1"), ("PYTHONIOENCODING", "ascii"),
    ("PYTHONOPTIMIZE", "2"), ("LD_LIBRARY_PATH", "/opt/lib"), ("LD_PRELOAD", ""),
    ("MPLBACKEND", "module://notebook"), ("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python"),
    ("OPAL_PREFIX", "/opt/mpi"), ("OMPI_MCA_btl", "openib"), ("TMPDIR", "no/such/folder"),
])
def test_what_is_set_for_other_programs_does_not_reach_the_command(host, name, value):
    inside = host.variables_of_a_command(**{name: value})
    assert inside["OBJSEG_INSIDE"] == "1" and inside.get(name) != value


@pytest.mark.parametrize("name, value", [
    ("OMP_NUM_THREADS", "1"), ("OPENBLAS_CORETYPE", "Haswell"), ("CUDA_VISIBLE_DEVICES", ""),
    ("OMPI_MCA_btl_tcp_if_include", "eth0"), ("OMPI_MCA_odls_base_sigkill_timeout", "5"),
    ("PYTHONUNBUFFERED", "1"), ("PYTHONDONTWRITEBYTECODE", "1"), ("TMPDIR", "/tmp"),
])
def test_what_is_set_for_the_command_reaches_it(host, name, value):
    assert host.variables_of_a_command(**{name: value})[name] == value


def test_a_missing_home_is_replaced(host):
    inside = host.variables_of_a_command(HOME="no/such/folder", XDG_CACHE_HOME=host.folder)
    assert inside["HOME"] == f"{host.folder}/objseg/home" and Path(inside["HOME"]).is_dir()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_opened(host, closed):
    code = 'for n in 0 1 2; do at+="$(readlink /proc/$$/fd/$n) "; done; echo "$at" > streams'
    done = subprocess.run(
        ["bash", "-c", f'"$0" "$@" {closed}', host.script, "bash", "-c", code], cwd=host.folder,
        env={"PATH": str(host.bin), "HOME": str(host.home)}, timeout=30, input=b"",
        capture_output=True,
    )
    streams = (host.folder / "streams").read_text().split()
    assert done.returncode == 0 and host.calls == 1
    assert len(streams) == 3
    assert streams.count("/dev/null") == len(closed.split())


def test_a_signal_reaches_the_command_itself(host):
    code = 'trap "echo snapshot; exit 7" TERM; sleep 60 >&2 & echo $$; wait'
    process = host.start("bash", "-c", code)
    assert int(process.stdout.readline()) == process.pid
    process.terminate()
    assert process.stdout.read() == "snapshot\n"
    assert process.wait(30) == 7
    os.killpg(process.pid, signal.SIGKILL)  # its sleep


def test_direct_where_caffe_is_at_hand(host):
    host.put_caffe_at_hand()
    inside = host.variables_of_a_command(PYTHONPATH="/mine")
    assert inside["PYTHONPATH"] == f"{host.checkout}:{host.checkout}/python_layers:/mine"
    assert inside["PATH"] == str(host.bin)
    assert host.calls == 0


@pytest.mark.parametrize("missing", ["caffe", "python", "pycaffe"])
def test_the_command_and_pycaffe_must_both_be_at_hand(host, missing):
    host.put_caffe_at_hand(python="exit 1" if missing == "pycaffe" else "")
    (host.bin / missing).unlink(missing_ok=True)
    host.run("true")
    assert host.calls == 1


@pytest.mark.parametrize("number, status", [
    (signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 143)
])
def test_a_stopped_set_up_ends_and_leaves_nothing(host, number, status):
    before = signal.signal(number, signal.SIG_DFL)  # a child inherits what nohup ignores
    try:
        process, _ = start_a_long_set_up(host)
    finally:
        signal.signal(number, before)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == status
    assert not host.path().exists()
    assert host.run("true").returncode == 0  # does not wait for the old set-up's sleep
    assert (host.path() / "made").exists()


def test_a_set_up_whose_end_fails_leaves_nothing(host):
    host.stub("sync", "exit 1")
    assert host.run("true").returncode == 1
    assert host.calls == 1 and not host.path().exists()


def test_a_home_shared_with_another_kind_of_machine_has_an_environment_for_each(host):
    before = host.path()
    host.stub("uname", "echo another")
    assert host.path() != before


def test_a_killed_set_up_is_not_taken_for_finished(host):
    process, group = start_a_long_set_up(host)
    process.kill()
    process.communicate(timeout=30)
    following = host.start("true")
    assert "waiting for another set-up" in following.stderr.readline()  # of which sleep is left
    os.killpg(group, signal.SIGKILL)
    following.communicate(timeout=30)
    assert following.returncode == 0
    assert (host.path() / "made").exists() and not (host.path() / "partial").exists()


def test_two_first_runs_make_one_environment(host):
    go = host.folder / "go"
    host.setup_does(f"until [ -e {go} ]; do sleep 0.1; done")
    first = host.start("echo", "ran")
    wait_for(lambda: host.calls)
    second = host.start("echo", "ran")
    assert "waiting for another set-up" in second.stderr.readline()
    go.touch()
    assert [process.communicate(timeout=30)[0] for process in (first, second)] == ["ran\n"] * 2
    assert host.calls == 1


def test_a_running_command_does_not_hold_up_another_set_up(host):
    lock = host.home / ".cache/objseg/lock"
    assert host.run("flock", "--nonblock", lock, "true").returncode == 0


@pytest.mark.parametrize("broken", ["complete", "bin/python", PYCAFFE])
def test_a_broken_environment_is_made_again(host, broken):
    host.run("true")
    path = host.path() / broken
    path.unlink()
    if broken == "bin/python":
        path.symlink_to(host.folder / "a Python that an upgrade removed")
    assert host.run("true").returncode == 0
    assert host.calls == 2 and path.exists()


@pytest.mark.parametrize("name, new", [
    ("engine/setup", True), ("engine/unpack-packages", True), ("engine/source.py", True),
    ("engine/packages.txt", True), ("engine/requirements/build.txt", True),
    ("engine/requirements/environment.txt", True), ("engine/patches/01-first.patch", True),
    ("engine/patches/02-second.patch", True), ("engine/kernels/first.cpp", True),
    ("engine/kernels/second.cpp", True), ("engine/requirements/cuda.txt", False),
    ("engine/check/compare.py", False), ("docs/engine.md", False),
    ("tools/common/environment.py", False),
])
def test_a_changed_recipe_makes_a_new_environment(host, name, new):
    before = host.path()
    host.append(name)
    assert (host.path() != before) == new


def test_each_python_has_its_own_environment(host):
    host.run("true")
    host.setup_does('echo "$OBJSEG_PYTHON" > "$1/python"')
    host.run("true", OBJSEG_PYTHON="/opt/python")
    assert (host.path() / "complete").exists()
    named = host.path(OBJSEG_PYTHON="/opt/python")
    assert named != host.path() and (named / "python").read_text() == "/opt/python\n"


FAILURES = {
    "Could not resolve 'mirror.invalid'": "no network: a mirror",
    "E: Could not connect to 192.0.2.1:80, connection timed out": "no network: a mirror",
    "NewConnectionError: Failed to establish a new connection": "no network: a mirror",
    "tar: made: Cannot write: No space left on device": "no disk space: it ran out",
    "E: You don't have enough free space in /var/cache": "no disk space: it ran out",
    "something else": "the set-up failed",
}


@pytest.mark.parametrize("log", FAILURES)
def test_each_failure_has_its_own_message(host, log):
    host.setup_does(f'echo "{log}" >&2; exit 1')
    done = host.run("true")
    assert done.returncode == 125
    assert f"caffe-env: error: {FAILURES[log]}" in done.stderr
    assert log in done.stderr  # the reader also sees what the set-up said
    assert done.stderr.count("caffe-env: error:") == 1
    assert Path(f"{host.path()}.log").read_text().endswith(f"{log}\n")
    assert not host.path().exists()


def test_too_little_disk_space_fails_before_the_set_up(host):
    (host.bin / "df").unlink()
    host.stub("df", 'printf "Filesystem MB Used Available\\nx 1000 900 100 90%% /\\n"')
    done = host.run("true")
    assert done.returncode == 125
    assert "100 MB free, 2500 are needed" in done.stderr and "XDG_CACHE_HOME" in done.stderr
    assert host.calls == 0


@pytest.mark.parametrize("tool", ["apt-get", "dpkg-deb"])
def test_another_system_than_debians_reads_what_to_do(host, tool):
    (host.bin / tool).unlink()
    done = host.run("true")
    assert done.returncode == 125
    assert "has no apt-get" in done.stderr and "Dockerfile" in done.stderr
    assert host.calls == 0


def test_a_cache_that_cannot_be_written_names_the_way_out(host):
    cache = host.home / ".cache/objseg"
    cache.mkdir(parents=True)
    cache.chmod(0o555)
    done = host.run("true", user=NOBODY)
    assert done.returncode == 125
    assert f"{cache} cannot be written" in done.stderr and "XDG_CACHE_HOME" in done.stderr
    roomy = host.folder / "roomy"
    assert host.run("echo", "ran", user=NOBODY, XDG_CACHE_HOME=roomy).stdout == "ran\n"
    assert host.path(XDG_CACHE_HOME=roomy).parent == roomy / "objseg"


@pytest.mark.parametrize("direct", [False, True])
def test_a_home_and_cache_that_cannot_be_written_are_used_in_silence(host, direct):
    host.run("true", user=NOBODY)
    if direct:
        host.run("--remove", user=NOBODY)
        host.put_caffe_at_hand()
    host.home.chmod(0o555)
    (host.home / ".cache/objseg").chmod(0o555)
    done = host.run("echo", "ran", user=NOBODY)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")


def test_a_read_only_checkout_works(host):
    for path in [host.checkout, *host.checkout.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    done = host.run("echo", "ran", user=NOBODY)
    assert done.stdout == "ran\n", done.stderr


def test_remove_deletes_the_environments_and_nothing_else(host):
    outside = host.folder / "outside"
    outside.mkdir()
    cache = host.home / ".cache/objseg"
    host.run("true")
    host.run("true", OBJSEG_PYTHON="/opt/python")
    (host.path() / "link").symlink_to(outside)
    (cache / "caffe-link").symlink_to(outside)
    kept = [outside / "file", cache / "file", cache.parent / "file"]
    for path in kept:
        path.touch()
    assert host.run("--remove").returncode == 0
    assert not list(cache.glob("caffe-*")) and all(path.exists() for path in kept)
    assert host.run("--remove").returncode == 0


def test_wrong_usage(host):
    done = host.run()
    assert done.returncode == 125 and "no command given" in done.stderr
    done = host.run("--nonsense", "true")
    assert done.returncode == 125 and "unknown option --nonsense" in done.stderr
    assert "--remove" in host.run("--help").stdout
    assert host.calls == 0


# ---- tools/common/environment.py ----


def run_tool(host, body, redirect="", **variables):
    tool = host.script.parent / "tool.py"
    tool.write_text(f"from common import environment\n{body}")
    python = os.path.realpath(sys.executable)  # which does not see the environment's packages
    return subprocess.run(
        ["bash", "-c", f'exec "$0" "$@" {redirect}', python, tool, "one two", "3"],
        capture_output=True, text=True, cwd="/", env={"PATH": str(host.bin), **variables},
    )


def test_a_tool_starts_again_inside(host):
    write_program(host.script, '#!/bin/bash\nprintf "[%s]" "$@"\n')
    done = run_tool(host, "environment.enter()\nprint('outside')")
    assert done.stdout == f"[python][{host.script.parent}/tool.py][one two][3]"


@pytest.mark.parametrize("redirect", ["<&- >&- 2>&-", "</dev/null 1</etc/passwd 2</etc/passwd"])
def test_a_tool_opens_unusable_standard_streams(host, redirect):
    write_program(host.script, '#!/bin/bash\nreadlink /proc/$$/fd/{0,1,2} > "$0.streams"\n')
    run_tool(host, "environment.enter()", redirect=redirect)
    streams = host.script.with_name("caffe-env.streams").read_text()
    assert streams.split() == ["/dev/null"] * 3


def test_a_tool_starts_with_the_caffe_beside_its_python(host, tmp_path):
    (tmp_path / "caffe.py").touch()
    tool = host.script.parent / "tool.py"
    tool.write_text("from common import environment\nenvironment.enter()\nprint('here')")
    (tmp_path / "python").symlink_to(os.path.realpath(sys.executable))
    write_program(tmp_path / "caffe", "#!/bin/bash\n")
    done = subprocess.run([tmp_path / "python", tool], capture_output=True, text=True,
                          env={"PATH": str(host.bin), "PYTHONPATH": str(tmp_path)})
    assert done.stdout == "here\n" and host.calls == 0


def test_a_tool_never_starts_again_twice(host):
    done = run_tool(host, "environment.enter()", OBJSEG_INSIDE="1")
    assert done.returncode == 1
    assert os.path.realpath(sys.executable) in done.stderr


@pytest.mark.parametrize("body, status, message", [
    ("return None", 0, ""),
    ("return 2", 2, ""),
    ("from objseg.errors import UserError; raise UserError('no such word')", 1,
     "error: no such word\n"),
    ("raise OSError(28, 'disk full')", 1, "error: [Errno 28] disk full\n"),
    ("raise KeyboardInterrupt", 130, ""),
    ("raise BrokenPipeError", 141, ""),
])
def test_how_a_tool_ends(host, body, status, message):
    done = run_tool(host, f"def main():\n    {body}\nenvironment.run(main)")
    assert (done.returncode, done.stderr) == (status, message)


@pytest.mark.parametrize("kind", ["TypeError", "ValueError", "FileNotFoundError"])
def test_a_mistake_of_ours_keeps_its_traceback(host, kind):
    done = run_tool(host, f"def main():\n    raise {kind}('ours')\nenvironment.run(main)")
    assert done.returncode == 1 and "Traceback" in done.stderr
