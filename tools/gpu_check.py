"""Check a GPU: is Caffe right on it, how fast is it, and how does it compare with PyTorch?

    python tools/gpu_check.py
    python tools/gpu_check.py --gpu 1 --torch-python python3
    python tools/gpu_check.py --rehearse --size slim

Prints Markdown and writes report.md and report.json. All the committed nets are compared, layer by
layer and whole, the GPU against the CPU; training, segmentation and single layers are timed, and
the same network in PyTorch where --torch-python names a Python that has it. Every part runs in a
process of its own: one that fails is recorded, and the others go on. The settings CAFFE_TF32 and
CAFFE_CUDNN_WORKSPACE_MB hold.
"""

from common import environment

environment.enter()

from common.arguments import Parser, add_check, not_negative, positive

from checks import parts, report
from checks.machine import has_tf32
from checks.processes import passed, run_check
from objseg.files import REPOSITORY

REHEARSAL = ("**Rehearsal: the CPU stood in the GPU's place.** It shows that the check itself "
             "works, and nothing about a GPU.")


def parse():
    """Read the command line."""
    parser = Parser(__doc__)
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--gpu", type=not_negative, default=0, metavar="N", help="GPU number N")
    device.add_argument("--rehearse", action="store_true",
                        help="run everything with the CPU in the GPU's place, to try the check")
    parser.add_argument("--images", type=positive, nargs="+", default=[1, 10], metavar="N",
                        help="sizes of the batches of training (default 1 10)")
    add_check(parser, REPOSITORY / "out" / "gpu_check", iterations=10, timeout=300)
    return parser.parse_args()


def main():
    """Run every part and write the report."""
    options = parse()
    gpu = None if options.rehearse else options.gpu
    plan = parts.gpu_check(options.size, options.images, has_tf32(gpu))
    results = run_check(plan, options, gpu)
    lines = report.markdown(results, options.size)
    report.write(options.out, [REHEARSAL, "", *lines] if options.rehearse else lines, results)
    return 0 if all(map(passed, results.values())) else 1


if __name__ == "__main__":
    environment.run(main)
