"""Steps that depend on each other, as Python programs of a line or two."""

import subprocess
import sys
import time

from common.steps import Step, Steps

from objseg.files import REPOSITORY


def python(name, code, *after, threads=1):
    return Step(name, ("-c", code), after, threads)


def run(*steps, jobs=2):
    with Steps(len(steps), jobs) as runner:
        return runner.run(list(steps))


def appends(path, name, *after, more=""):
    return python(name, f"open({str(path)!r}, 'a').write({name + ' '!r})\n{more}", *after)


def test_a_step_runs_after_those_that_it_builds_on(tmp_path):
    order = tmp_path / "order"
    steps = (appends(order, "c", "b", "not a step"), appends(order, "b", "a"), appends(order, "a"))
    assert run(*steps) == []
    assert order.read_text() == "a b c "


def test_a_failure_stops_what_builds_on_it_and_nothing_else(tmp_path, capfd):
    done = tmp_path / "done"
    failed = run(
        python("broken", "import sys; print('the reason'); sys.exit(3)"),
        appends(done, "builds on it", "broken"), appends(done, "and that", "builds on it"),
        appends(done, "other"), appends(done, "end", "other"),
    )
    assert failed == ["broken", "builds on it", "and that"]
    assert done.read_text() == "other end "
    printed = capfd.readouterr().out
    assert "broken: the reason\n" in printed
    assert "step 1 of 5: broken: failed with exit status 3" in printed


def test_no_more_steps_run_at_a_time_than_allowed(tmp_path):
    code = f"""
import pathlib, sys, time
here = pathlib.Path({str(tmp_path)!r}) / sys.argv[1]
here.touch()
time.sleep(0.3)
count = len(list(here.parent.glob("*")))
here.unlink()
sys.exit(count > 2)
"""
    steps = [Step(name, ("-c", code, name), (), 1) for name in "abcde"]
    assert run(*steps, jobs=2) == []


def test_threads_of_a_step(capfd):
    run(python("first", "import os; print(os.environ['OPENBLAS_NUM_THREADS'])", threads=7), jobs=1)
    assert "\n7\n" in capfd.readouterr().out


def test_a_terminated_runner_ends_its_steps_and_their_processes(tmp_path):
    """The step has a say; what it has started and left behind has none."""
    step = f"""
import os, signal, subprocess, sys, time
def end(*_):
    open({str(tmp_path / 'asked')!r}, 'w')
    sys.exit()
signal.signal(signal.SIGTERM, end)
left = subprocess.Popen([sys.executable, '-c',
    'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)'])
open({str(tmp_path / 'left')!r}, 'w').write(str(left.pid))
print('ready', flush=True)
time.sleep(60)
"""
    runner = subprocess.Popen(
        [sys.executable, "-c", f"""
from common.steps import Step, Steps
with Steps(2, 2) as steps:
    steps.run([Step('long', ('-c', {step!r}), (), 1), Step('next', ('-c', ''), ('long',), 1)])
"""],
        cwd=REPOSITORY, env={"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tools'}"},
        stdout=subprocess.PIPE, text=True,
    )
    while runner.stdout.readline() != "long: ready\n":
        assert runner.poll() is None
    runner.terminate()
    assert runner.wait(30) == 143
    assert "next" not in runner.stdout.read()
    assert (tmp_path / "asked").exists()
    state = f"/proc/{(tmp_path / 'left').read_text()}/stat"
    for _ in range(50):  # gone, or a zombie whose parent has yet to look
        try:
            if open(state).read().rpartition(")")[2].split()[0] == "Z":
                break
        except FileNotFoundError:
            break
        time.sleep(0.1)
    else:
        raise AssertionError("a process was left behind")
