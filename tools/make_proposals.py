"""Make the candidate regions that the baselines of Table 1 choose among: boxes and segments.

    python tools/make_proposals.py --data data/demo
    python tools/make_proposals.py --kind boxes --published data/raw/edgeboxes

Writes DATA/proposals/boxes/<image>.txt (EdgeBoxes, best first, as the published lists: rows of xmin
ymin xmax ymax) and DATA/proposals/segments/<image>.npz, and prints which share of the regions they
find. What an earlier run made is kept, so that an interrupted one goes on.
"""

from common import environment

environment.enter()

from pathlib import Path

from common.arguments import REFERIT, Parser, add_data, add_split, add_workers, positive

from objseg.errors import UserError
from objseg.data.dataset import Dataset
from objseg.regions.edge_boxes import default_forest
from objseg.regions.making import Boxes, Segments, make_proposals, recall
from objseg.regions.proposals import PROPOSALS

THRESHOLDS = (0.5, 0.7)


def parse():
    """Read the command line."""
    parser = Parser(__doc__)
    parser.add_argument("--kind", choices=["boxes", "segments", "both"], default="both",
                        help="what to make: boxes for SCRC and GroundeR, segments for MCG")
    add_data(parser, REFERIT)
    add_split(parser, "all")
    parser.add_argument("--count", type=positive, default=PROPOSALS, metavar="N",
                        help=f"proposals of an image at most (default: {PROPOSALS})")
    parser.add_argument("--published", type=Path, metavar="DIR",
                        help="take DIR/<image>.txt (EdgeBoxes) and DIR/<image>.mat (MCG's results, "
                        "variable mask); our own are made where one is missing (default: "
                        "our own)")
    parser.add_argument("--model", metavar="FILE", default=default_forest(),
                        help="structured forest for the edges, OpenCV's model.yml.gz, or none for "
                        "colour gradients (default: models/structured_edges.yml.gz if "
                        "tools/download.py has fetched it, else none)")
    add_workers(parser)
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="folder of the proposals (default: DATA/proposals)")
    parser.add_argument("--overwrite", action="store_true",
                        help="delete what was made with other settings")
    return parser.parse_args()


def main():
    """Make what is missing and print what it is good for."""
    options = parse()
    dataset = Dataset(options.data)
    if options.published and not options.published.is_dir():
        raise UserError(f"--published {options.published}: no such folder")
    splits = ["train", "val", "test"] if options.split == "all" else [options.split]
    images = {split: dataset.images(split) for split in splits}
    kinds = []
    if options.kind != "segments":
        kinds.append(Boxes(options.count, None if options.model == "none" else options.model))
    if options.kind != "boxes":
        kinds.append(Segments(options.count))
    out = options.out or options.data / "proposals"
    made = {
        kind.name: make_proposals(
            dataset, [image for split in splits for image in images[split]], kind, out,
            options.published and options.published.resolve(), options.workers, options.overwrite,
        )
        for kind in kinds
    }
    print(f"{'':10}{'split':10}{'regions':>10}"
          + "".join(f"{f'recall@{threshold}':>12}" for threshold in THRESHOLDS))
    for name, (of_image, _) in made.items():
        for split in splits:
            overlaps = sum((of_image[image.id] for image in images[split]), [])
            if overlaps:
                print(f"{name:10}{split:10}{len(overlaps):10,}" + "".join(
                    f"{100 * recall(overlaps, threshold):10.1f} %" for threshold in THRESHOLDS
                ))
    for name, (_, tally) in made.items():
        counts = ", ".join(f"{what} {number:,}" for what, number in tally.items())
        print(f"{name}: {counts or 'nothing to do'}")
    print(f"proposals: {out}")


if __name__ == "__main__":
    environment.run(main)
