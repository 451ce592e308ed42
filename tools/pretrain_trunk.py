r"""Pretrain the slim trunk on synthetic scenes: the analogue of VGG-16's ILSVRC weights.

    python tools/make_demo_data.py --out data/raw/pretraining --expressions attributes \
        --train 3000 --val 1 --test 1 --seed 777
    python tools/prepare_referit.py --raw data/raw/pretraining --out data/pretraining
    python tools/pretrain_trunk.py --data data/pretraining --out models/slim_trunk.caffemodel

The trunk learns to say, for every cell, the words of the regions that stand there.
"""

from common import environment

environment.enter()

import argparse
from pathlib import Path

from models.ours import starting_net
from models.per_word import pretraining_net
from models.sizes import SLIM
from objseg.errors import UserError
from objseg.data.dataset import Dataset
from objseg.files import REPOSITORY, sha256, write_text
from objseg.caffe.prototxt import prototxt

SOLVER = """\
type: "Adam"
base_lr: {rate}
lr_policy: "poly"
power: 1
max_iter: {iterations}
snapshot: {iterations}
momentum: 0.9
weight_decay: 0.00001
random_seed: {seed}
solver_mode: CPU
"""


def main():
    """Train the per-word net, keep its trunk."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=REPOSITORY / "data" / "pretraining")
    parser.add_argument("--out", type=Path, default=REPOSITORY / SLIM.pretrained)
    parser.add_argument("--work", type=Path, default=REPOSITORY / "out" / "pretraining",
                        help="folder of nets and log")
    parser.add_argument("--iterations", type=int, default=2500)
    parser.add_argument("--batch", type=int, default=8, help="images in a batch")
    parser.add_argument("--rate", type=float, default=0.001)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    if options.iterations < 1 or options.batch < 1 or not options.rate > 0:
        raise UserError("--iterations and --batch must be at least 1, --rate above 0")

    import caffe

    from objseg.training.loop import train
    from objseg.training.log import TrainingLog
    from objseg.training.solver import make_solver
    from objseg.caffe.weights import save_starting_weights

    work, data = options.work.resolve(), options.data.resolve()
    net = pretraining_net(
        SLIM, len(Dataset(data).vocabulary), data=str(data), split="train", batch=options.batch,
        seed=options.seed, workers=options.workers,
    )
    caffe.set_mode_cpu()
    solver, parameters = make_solver(
        SOLVER.format(**vars(options)), net, (), str(work / "pretraining")
    )
    log = TrainingLog(work / "pretraining_log.csv")
    stopped = train(solver, parameters, "pretraining", log)
    log.conclude()
    if stopped:
        return 128 + stopped

    write_text(work / "start.prototxt", prototxt(starting_net(SLIM)))
    caffe.set_random_seed(options.seed)
    start = caffe.Net(str(work / "start.prototxt"), caffe.TEST)
    trunk = {
        name: [blob.data for blob in blobs] for name, blobs in solver.net.params.items()
        if name in start.params
    }
    out = options.out
    save_starting_weights(start, trunk, out)
    print(f"{out}: {out.stat().st_size:,} bytes, sha256 {sha256(out)}")
    return 0


if __name__ == "__main__":
    environment.run(main)
