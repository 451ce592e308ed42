"""Measure what it saves to run the trunk once an image for all its expressions.

    python tools/benchmark_sharing.py --size slim --data data/demo --images 20

The weights are random unless given; they change neither the work nor its time.
"""

import environment

environment.enter()

import argparse
from pathlib import Path

import numpy as np

from models.sizes import SIZES
from objseg.dataset import SPLITS, Dataset
from objseg.files import REPOSITORY, Progress
from objseg.images import read_image
from objseg.methods import conventional_prototxt
from objseg.segmenter import Segmenter, time_responses


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=sorted(SIZES), default="paper")
    parser.add_argument("--data", type=Path, metavar="DIR",
                        help="prepared data set (default: the size's, data/referit for paper)")
    parser.add_argument("--split", choices=sorted(SPLITS), default="test")
    parser.add_argument("--images", type=int, default=10, metavar="N", help="the first N images")
    parser.add_argument("--weights", type=Path, metavar="FILE")
    parser.add_argument("--gpu", type=int, metavar="N", help="compute on GPU number N")
    return parser.parse_args()


def main():
    """Score every image both ways in turn, and print both times and the greatest difference."""
    options = parse()
    size = SIZES[options.size]
    dataset = Dataset(options.data or REPOSITORY / size.data)
    images = [image for image in dataset.images(options.split) if image.regions][: options.images]
    if not images:
        raise ValueError(f"no image with a region in the split {options.split}")
    deploy = conventional_prototxt(size) / "deploy_highres.prototxt"
    segmenter = Segmenter(deploy, options.weights, dataset.vocabulary, options.gpu)
    seconds, difference, count = np.zeros(2), 0.0, 0
    with Progress(len(images), "benchmark", "image") as progress:
        for turn, image in enumerate([images[0], *images]):
            pixels = read_image(image.path)
            expressions = [text for region in image.regions for text in region.expressions]
            shared, together = time_responses(segmenter, pixels, [expressions])
            alone, apart = time_responses(segmenter, pixels, [[text] for text in expressions])
            if turn == 0:  # warms up
                continue
            seconds += together, apart
            difference = max(difference, np.abs(np.subtract(shared, alone)).max())
            count += len(expressions)
            progress.advance()
    together, apart = seconds / count
    print(
        f"{options.size}, {dataset.name} {options.split}: {count} expressions on {len(images)} "
        f"images, {count / len(images):.1f} an image\n"
        f"one at a time      {apart:.4f} s an expression\n"
        f"trunk shared       {together:.4f} s an expression, {apart / together:.2f} times as fast\n"
        f"greatest difference of a score: {difference:.1e}"
    )


if __name__ == "__main__":
    environment.run(main)
