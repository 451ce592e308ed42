"""Parts of a check in processes of their own: one that fails is a result like another."""

import dataclasses
import json
import logging
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

from checks.machine import OtherPrograms
from checks.options import Options
from checks.scenes import add_regions, make_scenes
from checks.torch_python import try_torch
from objseg.caffe.devices import last_words
from objseg.errors import UserError
from objseg.files import REPOSITORY

log = logging.getLogger(__name__)

TIMES = ("seconds", "alone", "shared")
"""Keys of a result under which there is a list of times; that of the processor is at KEY CPU."""

SETTINGS = {"TF32": {"CAFFE_TF32": "1"}, "stock": {"CAFFE_STOCK_CPU": "1"}}
"""Environment variables for a part whose name ends in such a word."""

NEED_TORCH = ("torch", "torch-best", "torch-split", "agreement")
"""First words of the names of parts that need PyTorch."""


def passed(result: dict) -> bool:
    """Return whether a part ran to its end and found nothing wrong."""
    return "failure" not in result and result["passed"]


def sizes(split: str) -> tuple[int, int]:
    """Return (processes, BLAS threads of each) of a text such as 2x1."""
    processes, threads = map(int, split.split("x"))
    return processes, threads


def choose(plan: Sequence[str], only: Sequence[str], with_torch: bool) -> list[str]:
    """Return ``machine`` and the parts whose names begin with one of ``only``, or all if it is ().

    Those that need PyTorch are left out unless ``with_torch``. Raises UserError when none is left.
    """
    known = [part for part in plan if with_torch or part.split()[0] not in NEED_TORCH]
    chosen = [part for part in known if not only or part.startswith(tuple(only))]
    if not chosen:
        raise UserError(f"--only {' '.join(only)}: no part's name begins so; there are "
                        f"{', '.join(dict.fromkeys(known))}")
    return chosen if "machine" in chosen else ["machine", *chosen]


def run_check(plan: Sequence[str], given: Namespace, gpu: int | None) -> dict[str, dict]:
    """Make the scenes and run the parts of ``plan`` with the options ``given``; returns results.

    The temporary files are in a new folder in ``given.out``.
    """
    if given.torch_python:
        try_torch(given.torch_python, gpu)
    else:
        log.warning("PyTorch is left out: --torch-python PATH names a Python that has it")
    plan = choose(plan, given.only, bool(given.torch_python))
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="work-", dir=given.out.resolve()) as work:
        options = Options(
            Path(work), gpu, given.size, given.iterations, given.torch_python, given.timeout
        )
        add_regions(make_scenes(options.data, train=12, test=4), {"slim", given.size})
        return run_parts(plan, options)


def run_parts(plan: Sequence[str], options: Options) -> dict[str, dict]:
    """Run the parts that ``plan`` names, in its order; returns {part: its result}.

    A part that the plan names several times shares the repetitions asked for among its rounds.
    Raises UserError when the part ``machine`` fails: then none of the others could run.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # ends its part
    results = {}
    for number, part in enumerate(plan, 1):
        iterations = math.ceil(options.iterations / plan.count(part))
        with OtherPrograms() as others:
            result = run_part(part, dataclasses.replace(options, iterations=iterations))
        result["others"] = others.share
        results[part] = join(results.get(part), result)
        verdict = "ok" if passed(result) else result.get("failure", "FAILED")
        log.info("%d/%d %s: %s (%.1f s, other programs %.0f %%)", number, len(plan), part, verdict,
                 result["took"], 100 * others.share)
        if part == "machine" and "failure" in result:
            raise UserError(result["failure"])
    return results


def join(earlier: dict | None, result: dict) -> dict:
    """Add the times of an ``earlier`` round of a part to those of ``result``. A failure stays one.
    """
    if earlier is None or "failure" in result:
        return result
    if "failure" in earlier:
        return earlier
    keys = [f"{key}{ending}" for key in TIMES for ending in ("", " CPU")]
    times = {key: earlier[key] + result[key] for key in keys if key in result}
    return {**result, **times, "others": max(earlier["others"], result["others"])}


def run_part(part: str, options: Options) -> dict:
    """Run a part in a process of its own; returns what :func:`run_command` does.

    The last words of its name may be slim, in place of the options' size, and one of ``SETTINGS``.
    """
    if part.endswith((" slim", " slim stock")):
        options = dataclasses.replace(options, size="slim")
    words = [sys.executable, "-m", "checks.parts", part,
             json.dumps(dataclasses.asdict(options), default=str)]
    paths = [str(REPOSITORY), str(REPOSITORY / "python_layers"), os.environ.get("PYTHONPATH")]
    settings = {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    settings.update(SETTINGS.get(part.split()[-1], {}))
    if part.startswith("split "):
        processes, threads = sizes(part.split()[2])
        settings["OPENBLAS_NUM_THREADS"] = str(threads)
        if processes > 1:
            words = ["mpirun", "-n", str(processes), *words]
    return run_command(words, options.work / "answer.json", options.timeout, settings)


def run_command(
    words: Sequence[str], answer: Path, timeout: float, settings: Mapping[str, str] = {}
) -> dict:
    """Run a command that writes a dictionary as JSON to ``answer``.

    ``settings`` are environment variables to add. Returns the dictionary, or {"failure": text} when
    it is not there after ``timeout`` seconds, with "took", its seconds. All processes that the
    command started end with it.
    """
    answer.unlink(missing_ok=True)
    began = time.monotonic()
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY,
        env={**os.environ, **settings}, start_new_session=True,
    )
    try:
        _, said = process.communicate(timeout=timeout)
        if process.returncode == 0 and answer.is_file():
            result = json.loads(answer.read_text())
        else:
            said = re.sub(r"^-{60,}$.*?^-{60,}$", "", said, flags=re.M | re.S)  # mpirun's remarks
            result = {"failure": last_words(said).removeprefix("error: ")}
    except subprocess.TimeoutExpired:
        result = {"failure": f"not done after {timeout} s (--timeout)"}
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # none of its processes is left
        process.wait()
    return {**result, "took": round(time.monotonic() - began, 1)}
