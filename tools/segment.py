"""Segment what expressions refer to in one picture.

    python tools/segment.py photo.jpg "red car on the left" "sky"
    python tools/segment.py photo.jpg "the dog" --weights out/demo --out masks

Writes a mask (0 or 255, the picture's own size) and an overlay as PNG for each expression, and
prints area, box and scores. The picture is turned as its EXIF orientation says.
"""

from common import environment

environment.enter()

import re
import sys
from pathlib import Path

import numpy as np
from common.arguments import Parser, add_device, add_size
from common.method_arguments import add_nets

from models.sizes import SIZES
from objseg.errors import UserError
from objseg.data.expressions import MAX_WORDS, Vocabulary, tokenize
from objseg.files import REPOSITORY
from objseg.data.images import read_image, write_png
from objseg.data.masks import bounding_box
from objseg.methods.configuration import Options, configure
from objseg.methods.ours import Segmenter
from objseg.plots import overlay


def parse():
    """Read the command line."""
    parser = Parser(__doc__)
    parser.add_argument("image", type=Path, help="a picture, such as a JPEG or PNG file")
    parser.add_argument("expressions", nargs="+", metavar="expression",
                        help="what to segment, in quotes")
    parser.add_argument("--method", choices=("highres", "lowres"), default="highres",
                        help="the model of stage 2 or of stage 1 (default: highres)")
    add_size(parser)
    parser.add_argument("--weights", type=Path, metavar="PATH",
                        help="trained weights, or a folder whose newest weights of the method are "
                        "taken (default: the file that training leaves for the size)")
    add_nets(parser)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "out" / "segment", metavar="DIR",
                        help="folder of the masks and overlays")
    add_device(parser)
    return parser.parse_args()


def check(expressions, vocabulary):
    """Refuse an expression without a word; warn of words that the net does not know or reads."""
    for expression in expressions:
        tokens = tokenize(expression)
        if not tokens:
            raise UserError(f"the expression {expression!r} is empty: say what to segment")
        if len(tokens) > MAX_WORDS:
            warn(f"{len(tokens)} words in {shorten(expression)}: only the first {MAX_WORDS} are "
                 "read")
        read = tokens[:MAX_WORDS]
        unknown = list(dict.fromkeys(token for token in read if token not in vocabulary))
        if len(unknown) == len(set(read)):
            warn(f"no word of {shorten(expression)} is in the vocabulary: the mask is a guess")
        elif any(map(str.isalnum, unknown)):
            words = ", ".join(filter(str.isalnum, unknown))  # nobody misses a comma
            warn(f"not in the vocabulary, read as <unk>: {words}")


def warn(message):
    """Print a warning beside the results, not among them."""
    print(f"warning: {message}", file=sys.stderr)


def shorten(expression, length=60):
    """An expression in quotes, cut if it is long."""
    return f'"{expression if len(expression) <= length else expression[:length - 1] + "…"}"'


def file_names(image, expressions):
    """Return a file name stem for every expression: plain, short and each different."""
    def plain(text):
        return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-") or "expression"

    names = []
    for expression in expressions:
        name = base = f"{plain(image.stem)}_{plain(expression)}"
        repeat = 2
        while name in names:
            name, repeat = f"{base}-{repeat}", repeat + 1
        names.append(name)
    return names


def statistics(mask, score):
    """Lines that describe a mask, bool (H, W), and its response map, float32 (H, W)."""
    area = np.count_nonzero(mask)
    box = "none, the mask is empty"
    inside = ""
    if area:
        left, top, right, bottom = bounding_box(mask)
        box = f"x {left} to {right}, y {top} to {bottom}"
        inside = f", mean inside {score[mask].mean():+.2f}"
    return [
        f"area   {area} of {mask.size} pixels ({100 * area / mask.size:.2f} %)",
        f"box    {box}",
        f"score  {score.min():+.2f} to {score.max():+.2f}, mean {score.mean():+.2f}{inside}",
    ]


def main():
    """Segment every expression."""
    options = parse()
    size = SIZES[options.size]
    image = read_image(options.image, oriented=True)
    configuration = configure(
        options.method, size, REPOSITORY / size.data,
        Options(options.weights, options.vocabulary, options.prototxt, options.gpu),
    )
    vocabulary = Vocabulary.load(configuration.vocabulary)
    check(options.expressions, vocabulary)

    segmenter = Segmenter(
        configuration.deploy, configuration.weights, vocabulary, configuration.gpu
    )
    names = file_names(options.image, options.expressions)
    scores = segmenter.scores(image, options.expressions)
    for name, expression, score in zip(names, options.expressions, scores):
        mask = score > 0
        write_png(options.out / f"{name}_mask.png", mask.astype(np.uint8) * 255)
        write_png(options.out / f"{name}_overlay.png", overlay(image, mask))
        print(shorten(expression))
        for line in statistics(mask, score):
            print(f"  {line}")
        print(f"  files  {options.out / name}_mask.png, _overlay.png")


if __name__ == "__main__":
    environment.run(main)
