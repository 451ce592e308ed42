"""Propose boxes and segments in the images of a prepared data set, for the baselines of Table 1.

    python tools/make_proposals.py --data data/demo
    python tools/make_proposals.py --data data/referit --kind boxes --published edgebox_proposals

Writes DATA/proposals/boxes/<image>.txt and DATA/proposals/segments/<image>.npz; what is there is
kept. Prints the share of regions that some proposal covers with IoU 0.5 and 0.7.
"""

import environment

environment.enter()

import argparse
import os
from pathlib import Path

import numpy as np

from objseg.boxes import box_iou
from objseg.dataset import SPLITS, Dataset
from objseg.edge_boxes import edge_boxes, structured_forest
from objseg.files import REPOSITORY, Progress
from objseg.images import ImageError, read_image
from objseg.masks import load_masks, save_masks
from objseg.metrics import areas, iou
from objseg.prefetch import Prefetcher
from objseg.proposals import read_boxes, read_mcg, write_boxes
from objseg.segment_proposals import segment_proposals

ENDINGS = {"boxes": ".txt", "segments": ".npz"}


class Proposer:
    """Makes the proposals of job number n, a pair (kind, Image); called in background processes.

    Returns (kind, recall counts) for the image's regions, or (None, message).
    """

    def __init__(self, dataset, jobs, options):
        self.dataset, self.jobs, self.options = dataset, jobs, options
        self.detector = options.model and structured_forest(options.model)

    def __call__(self, number):
        """Make what is not there, and compare it with the annotated regions."""
        if number >= len(self.jobs):
            return None, "no more images"
        kind, image = self.jobs[number]
        path = self.options.out / kind / f"{image.id}{ENDINGS[kind]}"
        try:
            if not path.is_file():
                getattr(self, f"_make_{kind}")(path, image)
            return kind, getattr(self, f"_best_{kind}")(path, image)
        except ImageError as error:
            return None, str(error)

    def _published(self, image, ending):
        path = self.options.published and self.options.published / f"{image.id}{ending}"
        return path if path and path.is_file() else None

    def _make_boxes(self, path, image):
        published = self._published(image, ".txt")
        if published:
            boxes = read_boxes(published)[: self.options.count]
        else:
            boxes = edge_boxes(read_image(image.path), self.options.count, self.detector)
        write_boxes(path, boxes)

    def _make_segments(self, path, image):
        published = self._published(image, ".mat")
        if published:
            masks = read_mcg(published, image.height, image.width, self.options.count)
        else:
            masks = segment_proposals(read_image(image.path), self.options.count)
        save_masks(path, {str(n): m for n, m in enumerate(masks)}, (image.height, image.width))

    def _best_boxes(self, path, image):
        boxes = read_boxes(path)
        return [box_iou(boxes, r.box).max() if len(boxes) else 0.0 for r in image.regions]

    def _best_segments(self, path, image):
        segments, truth = list(load_masks(path).values()), self.dataset.masks(image.id)
        return [
            max((float(iou(*areas(s, truth[r.id]))) for s in segments), default=0.0)
            for r in image.regions
        ]


def main():
    """Propose, then print the recall."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=REPOSITORY / "data" / "referit",
                        metavar="DIR")
    parser.add_argument("--kind", choices=(*ENDINGS, "both"), default="both")
    parser.add_argument("--split", choices=(*sorted(SPLITS), "all"), default="all")
    parser.add_argument("--published", type=Path, metavar="DIR",
                        help="folder of published lists <image>.txt or MCG results <image>.mat; "
                        "an image without one gets proposals made here")
    parser.add_argument("--model", type=Path, metavar="FILE",
                        help="structured forest of the EdgeBoxes edges (OpenCV's model.yml.gz); "
                        "without it edges are colour gradients")
    parser.add_argument("--count", type=int, default=100, help="proposals an image")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default DATA/proposals")
    parser.add_argument("--workers", type=int, default=min(4, os.cpu_count() or 1))
    options = parser.parse_args()
    if options.count < 1 or options.workers < 1:
        raise ValueError("--count and --workers must be at least 1")
    options.out = options.out or options.data / "proposals"
    dataset = Dataset(options.data)
    splits = ("trainval", "test") if options.split == "all" else (options.split,)
    kinds = ENDINGS if options.kind == "both" else (options.kind,)
    images = [image for split in splits for image in dataset.images(split)]
    jobs = [(kind, image) for kind in kinds for image in images]
    best = {kind: [] for kind in kinds}
    stream = Prefetcher(Proposer(dataset, jobs, options), options.workers)
    with Progress(len(jobs), "proposals", "image") as progress:
        for _ in jobs:
            kind, found = next(stream)
            if kind is None:
                progress.write(f"skipped: {found}")
            else:
                best[kind].extend(found)
            progress.advance()
    stream.close()
    for kind, found in best.items():
        found = np.array(found)
        if len(found):
            half, most = (100 * np.mean(found >= threshold) for threshold in (0.5, 0.7))
            print(f"{kind}: of {len(found)} regions {half:.1f} % are covered with IoU 0.5, "
                  f"{most:.1f} % with IoU 0.7")


if __name__ == "__main__":
    environment.run(main)
