"""Segment what expressions refer to in one picture.

    python tools/segment.py photo.jpg "red car on the left" "sky"
    python tools/segment.py photo.jpg "the dog" --weights out/demo --out masks

Writes a mask (0 or 255, the picture's own size) and an overlay as PNG for each expression, and
prints area, box and scores. The picture is turned as its EXIF orientation says. A word that the
net does not know is read as one that it knows and that means the same, if there is one: see
objseg/data/synonyms.txt.
"""

from common import environment

environment.enter()

import re
import sys
from pathlib import Path

import numpy as np
from common.arguments import Parser, add_device, add_size

from models.sizes import SIZES
from objseg.errors import UserError
from objseg.data.expressions import MAX_WORDS, Vocabulary, tokenize
from objseg.files import REPOSITORY
from objseg.data.images import read_image, write_png
from objseg.data.masks import bounding_box
from objseg.methods.configuration import configure
from objseg.methods.ours import Segmenter
from objseg.plots import overlay


def parse():
    """Read the command line."""
    parser = Parser(__doc__)
    parser.add_argument("image", type=Path, nargs="?", help="a picture, such as a JPEG or PNG file")
    parser.add_argument("expressions", nargs="*", metavar="expression",
                        help="what to segment, in quotes")
    parser.add_argument("--method", choices=("highres", "lowres"), default="highres",
                        help="the model of stage 2 or of stage 1 (default: highres)")
    add_size(parser)
    parser.add_argument("--weights", type=Path, metavar="PATH",
                        help="trained weights, or a folder whose newest weights of the method are "
                        "taken (default: the file that training leaves for the size)")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "out" / "segment", metavar="DIR",
                        help="folder of the masks and overlays")
    parser.add_argument("--words", action="store_true",
                        help="list the words that the net knows, the most frequent first")
    parser.add_argument("--no-synonyms", dest="synonyms", action="store_false",
                        help="do not read an unknown word as another one that means the same")
    parser.add_argument("--guess", action="store_true",
                        help="segment an expression without a known word too: its mask is a guess")
    add_device(parser)
    options = parser.parse_args()
    if not (options.expressions or options.words):
        parser.error("name a picture and, in quotes, at least one expression")
    return options


def understand(expression, vocabulary, options):
    """Return the words that the net is to read, or None without a known one; warn of the others.

    Raises UserError for an empty expression.
    """
    tokens = tokenize(expression)
    if not tokens:
        raise UserError(f"the expression {expression!r} is empty: say what to segment")
    if len(tokens) > MAX_WORDS:
        warn(f"{len(tokens)} words in {shorten(expression)}: only the first {MAX_WORDS} are read")
    read = expression
    if options.synonyms:
        read, substitutes = vocabulary.substitute(expression)
        for word, other in substitutes.items():
            print(f"{word}: read as {other}", file=sys.stderr)
    unknown = []
    for word in vocabulary.unknown(read):
        nearest = ", ".join(vocabulary.nearest(word))
        unknown.append(f"{word}, nearest {nearest}" if nearest else word)
    named = "; ".join(unknown) or "no word at all"
    if not (options.guess or vocabulary.known(read)):
        warn(f"no mask for {shorten(expression)}, which has no known word ({named})")
        return None
    if unknown:
        warn(f"not in the vocabulary, read as <unk>: {named}")
    return read


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
    configuration = configure(
        options.method, size, REPOSITORY / size.data, options.weights, options.gpu
    )
    vocabulary = Vocabulary.load(configuration.vocabulary)
    if options.words:
        print("\n".join(vocabulary.spoken))
        return
    image = read_image(options.image, oriented=True)
    read = {expression: understand(expression, vocabulary, options)
            for expression in dict.fromkeys(options.expressions)}
    expressions = [expression for expression in options.expressions if read[expression] is not None]
    if not expressions:
        raise UserError("nothing to segment: --words lists what the net knows, --guess segments "
                        "expressions without a known word too")

    segmenter = Segmenter(
        configuration.deploy, configuration.weights, vocabulary, configuration.gpu
    )
    names = file_names(options.image, expressions)
    scores = segmenter.scores(image, [read[expression] for expression in expressions])
    for name, expression, score in zip(names, expressions, scores):
        mask = score > 0
        write_png(options.out / f"{name}_mask.png", mask.astype(np.uint8) * 255)
        write_png(options.out / f"{name}_overlay.png", overlay(image, mask))
        print(shorten(expression))
        for line in statistics(mask, score):
            print(f"  {line}")
        print(f"  files  {options.out / name}_mask.png, _overlay.png")


if __name__ == "__main__":
    environment.run(main)
