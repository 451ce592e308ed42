"""Draw scenes and expressions for them in ReferIt's raw layout: the data set of make demo.

    python tools/make_demo_data.py
    python tools/make_demo_data.py --out data/raw/small --train 60 --val 4 --test 10 --seed 2

A data set that is there already, of the same settings, is left as it is.
"""

from common import environment

environment.enter()

from pathlib import Path

from common.arguments import Parser, add_workers, not_negative

from objseg.synthesis.demo_data import MODES, make_data
from objseg.files import REPOSITORY


def main():
    """Draw what the command line asks for."""
    parser = Parser(__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "data" / "raw" / "demo",
                        metavar="DIR", help="folder to make")
    for split, count in (("train", 600), ("val", 40), ("test", 100)):
        parser.add_argument(f"--{split}", type=not_negative, default=count, metavar="N",
                            help=f"number of scenes of the {split} split")
    parser.add_argument("--seed", type=not_negative, default=1, metavar="N",
                        help="another seed draws other scenes")
    parser.add_argument("--expressions", choices=MODES, default=MODES[0],
                        help="referring: unambiguous expressions for some regions; attributes: for "
                        "every region one that lists its attributes")
    add_workers(parser)
    parser.add_argument("--overwrite", action="store_true",
                        help="replace a data set made with other settings")
    options = parser.parse_args()
    scenes = {split: getattr(options, split) for split in ("train", "val", "test")}
    if not any(scenes.values()):
        parser.error("no scene to draw: --train, --val and --test are all 0")
    make_data(options.out, scenes, options.seed, options.expressions, options.workers,
              options.overwrite)


if __name__ == "__main__":
    environment.run(main)
