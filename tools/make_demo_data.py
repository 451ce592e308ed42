"""Draw the embedded synthetic data set in ReferIt's raw layout.

python tools/make_demo_data.py [--out DIR] [--train N --val N --test N] [--seed N]
"""

from common import environment

environment.enter()

import argparse
import os
from pathlib import Path

from objseg.synthesis.demo_data import MODES, make_data
from objseg.files import REPOSITORY


def main():
    """Parse the command line and make the data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=REPOSITORY / "data" / "raw" / "demo",
                        help="folder to make (default data/raw/demo)")
    for split, count in (("train", 600), ("val", 40), ("test", 100)):
        parser.add_argument(f"--{split}", type=int, default=count, metavar="N",
                            help=f"number of scenes (default {count})")
    parser.add_argument("--seed", type=int, default=1, help="other seed, other scenes (default 1)")
    parser.add_argument("--expressions", choices=MODES, default=MODES[0],
                        help="referring: unambiguous expressions for some regions (default); "
                             "attributes: for every region one that lists its attributes")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), metavar="N",
                        help="processes (default: one for each core)")
    parser.add_argument("--overwrite", action="store_true",
                        help="replace a data set made with other settings")
    options = parser.parse_args()
    scenes = {split: getattr(options, split) for split in ("train", "val", "test")}
    if min(*scenes.values(), options.seed) < 0 or sum(scenes.values()) < 1 or options.workers < 1:
        parser.error("numbers of scenes and the seed must not be negative, and at least one scene "
                     "and one worker are needed")
    make_data(options.out, scenes, options.seed, options.expressions, options.workers,
              options.overwrite)


if __name__ == "__main__":
    environment.run(main)
