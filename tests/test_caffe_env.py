"""tools/caffe-env and tools/environment.py, on a host of stub commands in a folder of its own."""

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

TOOLS = """awk bash cat cut df dirname du env flock grep id ls mkdir mktemp mv paste readlink rm sed
    sh sha256sum sleep sync tail tar touch true""".split()
NOBODY = 65534
ENGINE = {"caffe": "1.0-8+b2", "python3-caffe": "1.0-8+b2"}

# Makes a root with the packages that $versions lists, the way the real one does: in a folder for
# root, as a tar archive on standard output for an ordinary user.
MMDEBSTRAP = """
echo run >> {folder}/calls
while [ "$1" != bullseye ]; do shift; done
target=$2
[ "$target" != - ] || target=$(mktemp -d)
mkdir -p "$target/var/lib/dpkg" "$target/dev"
touch "$target/made"
{middle}
cat > "$target/var/lib/dpkg/status" <<'END'
{status}
END
[ "$2" != - ] || tar --create --directory="$target" .
"""


class Host:
    """A machine with stub commands, a checkout and a home, all in ``folder``."""

    def __init__(self, folder):
        self.folder = folder
        self.bin, self.home = folder / "bin", folder / "home"
        self.checkout = folder / "check out"
        self.script = self.checkout / "tools" / "caffe-env"
        self.packages = self.checkout / "docker" / "packages.txt"
        for made in (self.bin, self.home, self.script.parent, self.packages.parent):
            made.mkdir(parents=True)
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        for name in ("caffe-env", "environment.py"):
            shutil.copy(str(REPOSITORY / "tools" / name), str(self.script.parent))
        self.packages.write_text("# engine\ncaffe=1.0-8*\npython3-caffe=1.0-8*  # why\nprocps\n")
        # the namespace tools run what they are given, in this name space
        skip_to = 'while [[ $1 != @(%s) ]]; do shift; done; exec "$@"'
        self.stub("bwrap", skip_to % "true|/bin/sh")
        self.stub("nsenter", skip_to % "/usr/bin/env")
        self.stub("unshare", 'shift; exec "$@"')
        self.stub("newuidmap", "")
        self.stub_mmdebstrap()

    def stub(self, name, body):
        path = self.bin / name
        if path.is_symlink():
            path.unlink()  # never write through to the real command
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def stub_mmdebstrap(self, versions=ENGINE, middle=""):
        status = "".join(f"Package: {n}\nVersion: {v}\n\n" for n, v in versions.items())
        body = MMDEBSTRAP.format(folder=self.folder, middle=middle, status=status)
        self.stub("mmdebstrap", body)

    def start(self, *words, user=None, **variables):
        """Start caffe-env with ``words``, as ``user`` (an id) where the tests run as root."""
        def become():
            if user and os.geteuid() == 0:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)

        if user and os.geteuid() == 0:
            for path in [self.folder, *self.folder.rglob("*")]:
                os.chown(path, user, user, follow_symlinks=False)
        environment = {"PATH": self.bin, "HOME": self.home, **variables}
        return subprocess.Popen(
            [str(self.script), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd=str(self.folder), start_new_session=True,
            env={name: str(value) for name, value in environment.items()}, preexec_fn=become,
        )

    def run(self, *words, **settings):
        process = self.start(*words, **settings)
        output, errors = process.communicate(timeout=30)
        return subprocess.CompletedProcess(words, process.returncode, output, errors)

    def call(self, code):
        """Run bash ``code`` in the shell that has sourced caffe-env; returns what it prints."""
        return subprocess.check_output(
            ["bash", "-c", f'. "{self.script}"; {code}'], text=True,
            env={"PATH": str(self.bin), "HOME": str(self.home)}, cwd=str(self.folder),
        )

    @property
    def root(self):
        return Path(self.run("--path").stdout.strip())

    @property
    def calls(self):
        calls = self.folder / "calls"
        return len(calls.read_text().split()) if calls.exists() else 0


@pytest.fixture
def host():
    # not tmp_path: pytest hides that from other users
    with tempfile.TemporaryDirectory(prefix="caffe-env-") as folder:
        os.chmod(folder, 0o755)
        yield Host(Path(folder))


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def nothing_made(host):
    return not host.root.exists() and not Path(f"{host.root}.new").exists()


@pytest.mark.parametrize("user", [None, NOBODY])
def test_arguments_folder_and_status_pass_through(host, user):
    code = 'pwd; printf "[%s]" "$@"; echo; exit 37'
    done = host.run("bash", "-c", code, "name", "one two", "", "*", "q'u\"o", user=user)
    assert done.stdout == f"{host.folder}\n[one two][][*][q'u\"o]\n"
    assert done.returncode == 37
    assert (host.root / "made").exists()
    assert host.run("true", user=user).returncode == 0
    assert host.calls == 1  # the second use finds the root


def test_environment_of_the_command(host):
    done = host.run(
        "env", PYTHONHOME="/host", PYTHONPATH="/host", LD_PRELOAD="", LC_ALL="xx_YY",
        OMP_NUM_THREADS="1",
    )
    inside = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert inside["PYTHONPATH"] == f"{host.checkout}:{host.checkout}/python_layers"
    assert inside["OMP_NUM_THREADS"] == "1"
    assert inside["OBJSEG_INSIDE"] == "1"
    assert inside["LC_ALL"] == "C.UTF-8"
    assert str(host.bin) not in inside["PATH"]
    assert Path(inside["MPLCONFIGDIR"]).is_dir()
    assert not {"PYTHONHOME", "LD_PRELOAD"} & set(inside)


def test_a_signal_reaches_the_command_itself(host):
    code = 'trap "echo snapshot; exit 7" TERM; echo $$; sleep 20 >&2 & wait'
    process = host.start("bash", "-c", code)
    assert int(process.stdout.readline()) == process.pid
    process.terminate()
    assert process.stdout.read() == "snapshot\n"
    assert process.wait(10) == 7
    os.killpg(process.pid, signal.SIGKILL)  # its sleep


def test_direct_where_caffe_is_at_hand(host):
    host.stub("caffe", "")
    host.stub("python", "")  # "yes, pycaffe can be imported"
    done = host.run("sh", "-c", 'echo "$PYTHONPATH"', PYTHONPATH="/mine")
    assert done.stdout == f"{host.checkout}:{host.checkout}/python_layers:/mine\n"
    assert host.calls == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_a_killed_set_up_leaves_nothing_taken_for_finished(host, name):
    host.stub_mmdebstrap(middle='touch "$target/partial"; sleep 60')
    process = host.start("true")
    wait_for(lambda: host.calls == 1)
    if name == "SIGKILL":
        wait_for(lambda: list(host.home.glob(".cache/objseg/*.new")))
        builders = subprocess.check_output(["ps", "-o", "pid=", "--ppid", str(process.pid)])
        process.kill()
        for builder in builders.split():
            try:
                os.killpg(int(builder), signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.wait()
        assert not host.root.exists()
    else:
        process.send_signal(getattr(signal, name))
        assert process.wait(10) == 128 + getattr(signal, name)
        assert nothing_made(host)
    host.stub_mmdebstrap()
    assert host.run("true").returncode == 0
    assert (host.root / "made").exists() and not (host.root / "partial").exists()
    assert not Path(f"{host.root}.new").exists()


def test_two_first_runs_make_one_root(host):
    host.stub_mmdebstrap(middle="sleep 1")
    first, second = (host.start("echo", "ran") for _ in range(2))
    messages = [process.communicate(timeout=20) for process in (first, second)]
    assert [output for output, _ in messages] == ["ran\n", "ran\n"]
    assert host.calls == 1
    assert "waiting for another set-up" in messages[0][1] + messages[1][1]


def test_a_changed_package_list_makes_a_new_root(host):
    host.run("true")
    before = host.root
    host.packages.write_text(host.packages.read_text() + "\n# only a comment\n")
    assert host.root == before
    host.packages.write_text(host.packages.read_text() + "python3-h5py\n")
    assert host.root != before
    host.run("true")
    assert host.calls == 2 and before.exists() and host.root.exists()


FAILURES = {
    "Could not resolve 'mirror.invalid'": "no network: http://m.invalid/debian cannot be reached",
    "Could not connect to 192.0.2.1:80, connection timed out": "no network",
    "E: The repository 'http://m.invalid bullseye Release' does not have a Release file.":
        "http://m.invalid/debian has no Debian 11 (bullseye)",
    "tar: made: Cannot write: No space left on device": "no disk space: it ran out",
    "E: Version '1.0-8*' for 'caffe' was not found": "other versions than docker/packages.txt pins",
    "The following signatures couldn't be verified: NO_PUBKEY 0E98404D386FA1D9": "signature",
    "E: invalid /etc/subuid": "has no range of subordinate user ids",
    "something else": "the set-up failed",
}


@pytest.mark.parametrize("log", FAILURES)
def test_each_failure_has_its_own_message(host, log):
    host.stub("mmdebstrap", f'echo "{log}" >&2; exit 1')
    done = host.run("--mirror", "http://m.invalid/debian", "true")
    assert done.returncode == 125
    assert f"error: {FAILURES[log]}" in done.stderr or FAILURES[log] in done.stderr
    assert log in done.stderr  # the reader also sees what the tool said
    assert done.stderr.count("error:") == 1
    assert nothing_made(host)


def test_a_missing_suite_names_the_way_out(host):
    host.stub("mmdebstrap", 'echo "does not have a Release file" >&2; exit 1')
    message = host.run("true", OBJSEG_MIRROR="http://old.invalid").stderr
    assert "http://old.invalid has no" in message
    assert "--mirror URL" in message and "OBJSEG_MIRROR" in message


@pytest.mark.parametrize("versions, found", [
    ({**ENGINE, "caffe": "1.0-9"}, "caffe is 1.0-9"),
    ({"caffe": "1.0-8"}, "python3-caffe is missing"),
])
def test_another_engine_is_refused(host, versions, found):
    host.stub_mmdebstrap(versions)
    done = host.run("true")
    assert done.returncode == 125
    assert found in done.stderr and "pins 1.0-8*" in done.stderr
    assert nothing_made(host)


def test_too_little_disk_space_fails_before_the_download(host):
    host.stub("df", 'printf "Filesystem MB Used Available\\nx 1000 900 100 90%% /\\n"')
    done = host.run("true")
    assert done.returncode == 125
    assert "100 MB free, 2048 are needed" in done.stderr and "XDG_CACHE_HOME" in done.stderr
    assert host.calls == 0


def test_refused_namespaces_fail_before_the_download(host):
    host.stub("bwrap", "echo 'bwrap: No permissions to create new namespace' >&2; exit 1")
    done = host.run("true")
    assert done.returncode == 125
    assert "refuses user name spaces: bwrap: No permissions" in done.stderr
    assert "sysctl" in done.stderr and "Dockerfile" in done.stderr
    assert host.calls == 0


def test_an_ordinary_user_reads_which_tools_are_missing(host):
    for tool in ("bwrap", "mmdebstrap", "newuidmap"):
        (host.bin / tool).unlink()
    done = host.run("true", user=NOBODY)
    assert done.returncode == 125
    assert "lacks bubblewrap mmdebstrap uidmap" in done.stderr
    assert "apt-get install bubblewrap mmdebstrap uidmap" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs what is missing")
def test_root_installs_the_missing_tools(host):
    (host.bin / "bwrap").rename(host.bin / "bwrap.later")
    host.stub("apt-get", f'echo "$*" >> {host.folder}/apt\n'
              f'[ "$1" != install ] || mv {host.bin}/bwrap.later {host.bin}/bwrap')
    done = host.run("echo", "ran")
    assert done.stdout == "ran\n", done.stderr
    assert (host.folder / "apt").read_text().splitlines() == [
        "update", "install --yes --no-install-recommends bubblewrap"
    ]


def test_remove_deletes_the_roots_and_nothing_else(host):
    outside = host.folder / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    host.run("true")
    (host.root / "link").symlink_to(outside)
    (host.root.parent / "debian11-link").symlink_to(outside)
    beside = host.root.parent.parent / "another program"
    beside.touch()
    assert host.run("--remove").returncode == 0
    assert not host.root.exists() and not (host.root.parent / "debian11-link").exists()
    assert (outside / "kept").exists() and beside.exists()
    assert host.run("--remove").returncode == 0


def test_wrong_usage(host):
    assert host.run().returncode == 125
    assert "unknown option --nonsense" in host.run("--nonsense").stderr
    assert "--remove" in host.run("--help").stdout


def test_mirror_is_the_one_of_the_hosts_own_apt(host):
    etc = host.folder / "etc"
    (etc / "apt" / "sources.list.d").mkdir(parents=True)
    (etc / "os-release").write_text("ID=debian\nVERSION_CODENAME=bookworm\n")
    sources = etc / "apt" / "sources.list"
    sources.write_text(
        "# deb http://a.invalid/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/k] http://a.invalid/debian bookworm main contrib\n"
        "deb-src http://a.invalid/debian bookworm main\n"
        "deb http://a.invalid/debian bookworm-backports main\n"
        "deb http://tool.invalid/apt stable-tool main\n"
        "deb http://a.invalid/security bookworm-security main\n"
    )
    expected = ("deb http://a.invalid/debian bullseye main\n"
                "deb http://a.invalid/security bullseye-security main\n")
    assert host.call(f"host_sources {etc}") == expected
    sources.unlink()
    (etc / "apt" / "sources.list.d" / "debian.sources").write_text(
        "Types: deb deb-src\n# a comment\nURIs: http://a.invalid/debian\n"
        "Suites: bookworm bookworm-updates\nComponents: main\n\n"
        "Types: deb\nURIs: http://off.invalid/debian\nSuites: bookworm\nEnabled: no\n\n"
        "Types: deb-src\nURIs: http://source.invalid/debian\nSuites: bookworm\n"
    )
    assert host.call(f"host_sources {etc}") == (
        "deb http://a.invalid/debian bullseye main\n"
        "deb http://a.invalid/debian bullseye-updates main\n"
    )
    (etc / "os-release").write_text("ID=ubuntu\nVERSION_CODENAME=noble\n")
    assert host.call(f"host_sources {etc}") == ""


def test_the_hosts_folders_are_shown_and_its_system_is_not(host):
    mounts = host.call(
        f'root={host.folder}/root; mkdir -p "$root"; HOME=/usr/share; compose_mounts; '
        'printf "%s\\n" "${mounts[@]}"'
    ).split("\n")
    shown = [mounts[i + 2] for i, word in enumerate(mounts) if word.startswith("--bind")]
    assert "/tmp" in shown and "/home" in shown
    assert not {"/usr", "/etc", "/var", "/bin", "/lib", "/run"} & set(shown)
    assert "/usr/share" in shown  # this root lacks it, as it lacks a checkout in /usr/src/app
    assert mounts[-3:] == ["--remount-ro", "/", ""]


def run_tool(host, body, **variables):
    tool = host.script.parent / "tool.py"
    tool.write_text(f"import environment\n{body}")
    return subprocess.run(
        [sys.executable, str(tool), "one two", "3"], capture_output=True, text=True, cwd="/",
        env={"PATH": str(host.bin), **variables},
    )


def test_a_tool_starts_again_inside(host):
    host.script.write_text('#!/bin/bash\nprintf "[%s]" "$@"\n')
    done = run_tool(host, "environment.enter()\nprint('outside')")
    assert done.stdout == f"[python][{host.script.parent}/tool.py][one two][3]"


def test_a_tool_never_starts_again_twice(host):
    done = run_tool(host, "environment.enter()", OBJSEG_INSIDE="1")
    assert done.returncode == 1
    assert sys.executable in done.stderr


@pytest.mark.parametrize("body, status, message", [
    ("return None", 0, ""),
    ("return 2", 2, ""),
    ("raise ValueError('no such word')", 1, "error: no such word\n"),
    ("raise OSError('disk')", 1, "error: disk\n"),
    ("raise KeyboardInterrupt", 130, ""),
    ("raise BrokenPipeError", 141, ""),
])
def test_how_a_tool_ends(host, body, status, message):
    done = run_tool(host, f"def main():\n    {body}\nenvironment.run(main)")
    assert (done.returncode, done.stderr) == (status, message)


def test_a_mistake_of_ours_keeps_its_traceback(host):
    done = run_tool(host, "def main():\n    raise TypeError('ours')\nenvironment.run(main)")
    assert done.returncode == 1 and "Traceback" in done.stderr
