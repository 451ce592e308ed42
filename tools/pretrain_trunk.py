r"""Pretrain the slim trunk on synthetic scenes: the analogue of VGG-16's ILSVRC weights.

    python tools/make_demo_data.py --out data/raw/pretraining --expressions attributes \
        --train 3000 --val 1 --test 1 --seed 777
    python tools/prepare_referit.py --raw data/raw/pretraining --out data/pretraining
    python tools/pretrain_trunk.py --data data/pretraining --out models/slim_trunk.caffemodel

The trunk learns to say, for every cell, the words of the regions that stand there.
"""

from common import environment

environment.enter()

from pathlib import Path

from common.arguments import Parser, positive

from models.ours import starting_net
from models.per_word import pretraining_net
from models.sizes import SLIM
from objseg.caffe.prototxt import build_net
from objseg.data.dataset import Dataset
from objseg.files import REPOSITORY, sha256

BATCH, SEED = 8, 1
"""Images of a batch; the seed of the data's order and of the fillers."""

WORK = REPOSITORY / "out" / "pretraining"
"""The folder of the log."""

SOLVER = f"""\
type: "Adam"
base_lr: 0.001
lr_policy: "poly"
power: 1
max_iter: {{iterations}}
snapshot: {{iterations}}
momentum: 0.9
weight_decay: 0.00001
random_seed: {SEED}
solver_mode: CPU
"""


def main():
    """Train the net that scores words, keep its trunk."""
    parser = Parser(__doc__)
    parser.add_argument("--data", type=Path, metavar="DIR", help="prepared data set",
                        default=REPOSITORY / "data" / "pretraining")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the starting weights",
                        default=REPOSITORY / SLIM.pretrained)
    parser.add_argument("--iterations", type=positive, metavar="N", default=2500,
                        help="length of the run")
    options = parser.parse_args()

    import caffe

    from objseg.training.loop import train
    from objseg.training.log import TrainingLog
    from objseg.training.solver import make_solver
    from objseg.caffe.starting_weights import save_starting_weights

    data = options.data.resolve()
    net = pretraining_net(
        SLIM, len(Dataset(data).vocabulary), data=str(data), split="train", batch=BATCH, seed=SEED,
        workers=1,
    )
    caffe.set_mode_cpu()
    solver, parameters = make_solver(
        SOLVER.format(iterations=options.iterations), net, (), str(WORK / "pretraining")
    )
    log = TrainingLog(WORK / "pretraining_log.csv")
    stopped = train(solver, parameters, "pretraining", log)
    log.conclude()
    if stopped:
        return 128 + stopped

    caffe.set_random_seed(SEED)
    start = build_net(starting_net(SLIM), caffe.TEST)
    trunk = {
        name: [blob.data for blob in blobs] for name, blobs in solver.net.params.items()
        if name in start.params
    }
    save_starting_weights(start, trunk, options.out)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes, sha256 {sha256(options.out)}")
    return 0


if __name__ == "__main__":
    environment.run(main)
