"""Check a GPU: is Caffe right on it, how fast is it, and what should it cost?

    python tools/gpu_check.py
    python tools/gpu_check.py --gpu 1 --quick
    python tools/gpu_check.py --rehearse --size slim

Writes report.txt and report.json. Compared are all the committed nets, layer by layer and whole,
the GPU against the CPU; timed are training, segmentation, and the same network in PyTorch where a
Python with torch is found. Every part runs in a process of its own: one that fails is recorded, and
the others go on. CAFFE_TF32 and CAFFE_CUDNN_WORKSPACE_MB hold as set.
"""

from common import environment

environment.enter()

import argparse
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

from checks import torch_reference
from objseg.errors import UserError
from objseg.files import REPOSITORY, write_text
from checks.gpu import parts, processes, text
from checks.gpu.check import Check
from checks.gpu.machine import has_tf32
from checks.gpu.scenes import make_scenes


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--gpu", type=int, default=0, metavar="N", help="GPU number N (default 0)")
    device.add_argument("--rehearse", action="store_true",
                        help="run everything with the CPU in the GPU's place: this tries the check "
                        "itself, and says nothing of a GPU")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "out" / "gpu_check", metavar="DIR")
    parser.add_argument("--quick", action="store_true", help="fewer nets, and stage 2 alone")
    parser.add_argument("--size", choices=("paper", "slim"), default="paper",
                        help="what is timed; slim leaves the paper's nets out altogether")
    parser.add_argument("--iterations", type=int, default=10, metavar="N",
                        help="timed iterations of training (default 10)")
    parser.add_argument("--images", type=int, nargs="+", default=[1, 10], metavar="N",
                        help="sizes of the batches (default 1 10)")
    parser.add_argument("--torch-python", metavar="PATH",
                        help="a Python with torch (default: this one, or python3 on the PATH)")
    parser.add_argument("--timeout", type=int, default=300, metavar="S",
                        help="seconds that a part may take (default 300)")
    parser.add_argument("--only", metavar="REGEX", default="",
                        help="only machine and the parts whose names begin so, such as "
                        "'net|solvers'")
    parser.add_argument("--part", help=argparse.SUPPRESS)  # what the tool calls itself with
    options = parser.parse_args()
    if min(options.iterations, options.timeout, *options.images) < 1:
        parser.error("--iterations, --images and --timeout must be at least 1")
    return options


def without_torch(torch_python, rehearsal):
    """First words of the parts that cannot be run for want of PyTorch, and why, or ((), None)."""
    another = "(--torch-python PATH names one)"
    if torch_python is None:
        return ("torch", "agreement"), f"no Python with torch here: PyTorch is left out {another}"
    if not rehearsal and not torch_reference.sees_gpu(torch_python):
        return ("torch",), (f"the torch of {torch_python} sees no GPU: PyTorch's times are left "
                            f"out {another}")
    return (), None


def run_part(part, options, torch_python):
    """Run a part in a process of its own; returns its dictionary, or {"failure": text}."""
    words = [sys.executable, os.path.abspath(__file__), "--part", part, "--out", str(options.out),
             "--size", options.size, "--iterations", str(options.iterations),
             *(["--rehearse"] if options.rehearse else ["--gpu", str(options.gpu)]),
             *(["--torch-python", torch_python] if torch_python else [])]
    return processes.run_part(
        words, options.out / "work" / "answer.json", options.timeout, parts.environment(part)
    )


def main():
    """Run every part and write the report."""
    options = parse()
    options.out = options.out.resolve()
    work = options.out / "work"
    check = Check(
        work, None if options.rehearse else options.gpu,
        "" if options.size == "paper" else options.size, options.iterations, options.torch_python,
    )
    if options.part:
        write_text(work / "answer.json", json.dumps(parts.run(options.part, check)))
        return 0

    shutil.rmtree(work, ignore_errors=True)
    make_scenes(check.data, train=12, test=4)
    known = parts.plan(check, options.images, options.quick, has_tf32(check.gpu))
    torch_python = torch_reference.find_python(options.torch_python)
    left_out, reason = without_torch(torch_python, options.rehearse)
    if reason:
        print(reason, file=sys.stderr)
        known = [part for part in known if not part.startswith(left_out)]
    plan = [part for part in known if part == "machine" or re.match(options.only, part)]
    if plan == ["machine"] and not re.match(options.only, "machine"):
        raise UserError(f"--only {options.only}: no part begins so; there are {', '.join(known)}")
    results, began = {}, time.monotonic()
    for number, part in enumerate(plan, 1):
        result = results[part] = run_part(part, options, torch_python)
        verdict = "ok" if text.passed(result) else result.get("failure", "FAILED")
        print(f"{number}/{len(plan)} {part}: {verdict} ({result['took']} s)", file=sys.stderr,
              flush=True)
        if part == "machine" and "failure" in result:
            raise UserError(result["failure"].replace("error: ", "", 1))
    shutil.rmtree(work)
    missing = parts.uncovered(results, check.size)
    lines = text.report(results, options.rehearse, options.size, missing)
    lines.append(f"{time.monotonic() - began:.0f} s in all")
    write_text(options.out / "report.txt", "\n".join(lines) + "\n")
    write_text(options.out / "report.json", json.dumps(
        {"rehearsal": options.rehearse, "size": options.size, "parts": results}, indent=1
    ))
    print("\n".join(lines))
    complete = options.only or not missing
    return 0 if complete and all(map(text.passed, results.values())) else 1


if __name__ == "__main__":
    environment.run(main)
