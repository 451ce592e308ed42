"""Segment what expressions refer to in pictures.

    python tools/segment.py photo.jpg "sky" "person on the left"
    python tools/segment.py holiday/ extra.png "the dog" --no-refine
    python tools/segment.py 641.jpg "red car" --size slim --weights out/demo
    python tools/segment.py photo.jpg "sky" --onnx photo.onnx

Writes for each picture and expression a mask (0 or 255, the picture's own size) and an overlay as
PNG, prints area, box and score, and writes all overlays on one page, sheet.jpg. Nothing in the
output folder is overwritten. The edge of a mask is moved to an edge of the picture that is near;
--no-refine leaves it where the net's response is 0. A picture is turned as its EXIF orientation
says. A word that the net does not know is read as one that it knows and that means the same, if
there is one: see objseg/data/synonyms.txt.
"""

from common import environment

environment.enter()

import itertools
import os
import re
import sys
from pathlib import Path

import numpy as np
from common.arguments import Parser
from common.model_choice import add_model_choice, chosen_model, warn

from objseg.data.examples import example_pictures
from objseg.data.expressions import MAX_WORDS
from objseg.data.images import ImageError, pictures_in, read_image, write_image, write_png
from objseg.data.masks import bounding_box
from objseg.data.reading import read_expression
from objseg.errors import UserError
from objseg.files import REPOSITORY
from objseg.methods.grabcut import refine
from objseg.methods.segmenter import score_of
from objseg.plots import contact_sheet, overlay


def parse():
    """Read the command line; ``pictures`` are {Path: [expression]}."""
    parser = Parser(__doc__)
    parser.add_argument("words", nargs="*", metavar="PICTURE ... EXPRESSION",
                        help="pictures, or folders of pictures, and then, in quotes, what to "
                        "segment in each of them")
    add_model_choice(parser)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "out" / "segment", metavar="DIR",
                        help="folder of the masks and overlays")
    parser.add_argument("--examples", action="store_true",
                        help="segment the photographs that scikit-image has with it")
    parser.add_argument("--no-refine", dest="refine", action="store_false",
                        help="do not move the edges of masks to edges of the picture, which "
                        "GrabCut does in up to 0.4 s per mask; docs/results.md has the gain")
    parser.add_argument("--words", dest="list_words", action="store_true",
                        help="list the words that the net knows, the most frequent first")
    parser.add_argument("--no-synonyms", dest="synonyms", action="store_false",
                        help="do not read an unknown word as another one that means the same")
    parser.add_argument("--guess", action="store_true",
                        help="segment an expression without a known word too: its mask is a guess")
    options = parser.parse_args()
    options.pictures = {}
    if options.examples:
        options.pictures = example_pictures()
    elif not options.list_words:
        paths, expressions = told_apart(options.words)
        if not expressions:
            parser.error("name pictures and then, in quotes, at least one expression")
        options.pictures = dict.fromkeys(paths, expressions)
    return options


def told_apart(words):
    """Return the pictures, Paths, that the first of ``words`` name, and the expressions after."""
    count = next((n for n, word in enumerate(words) if not os.path.exists(word)), len(words))
    if words and not count:
        raise UserError(f"{words[0]}: no such picture or folder; name pictures first and then, in "
                        "quotes, expressions")
    paths = [
        path for word in map(Path, words[:count])
        for path in (pictures_in(word) if word.is_dir() else [word])
    ]
    return paths, words[count:]


def understand(expression, vocabulary, options):
    """Return the words that the net is to read, or None without a known one; warn of the others.

    Raises UserError for an empty expression.
    """
    reading = read_expression(expression, vocabulary, options.synonyms)
    if not reading.tokens:
        raise UserError(f"the expression {expression!r} is empty: say what to segment")
    if reading.tokens > MAX_WORDS:
        warn(f"{reading.tokens} words in {shorten(expression)}: only the first {MAX_WORDS} are "
             "read")
    for word, other in reading.substitutes.items():
        print(f"{word}: read as {other}", file=sys.stderr)
    named = "; ".join(
        f"{word}, nearest {', '.join(nearest)}" if nearest else word
        for word, nearest in reading.unknown.items()
    )
    if not (options.guess or reading.known):
        warn(f"no mask for {shorten(expression)}, which has no known word "
             f"({named or 'no word at all'})")
        return None
    if named:
        warn(f"not in the vocabulary, read as <unk>: {named}")
    return reading.text


def shorten(expression, length=60):
    """An expression in quotes, cut if it is long."""
    return f'"{expression if len(expression) <= length else expression[:length - 1] + "…"}"'


def plain(text):
    """Return ``text`` as a short part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-") or "expression"


def free_name(out, base, ending):
    """Return the first of BASE, BASE-2, BASE-3 ... that with ``ending`` no file in ``out`` has."""
    names = itertools.chain([base], (f"{base}-{number}" for number in itertools.count(2)))
    return next(name for name in names if not (out / f"{name}{ending}").exists())


def statistics(mask, response):
    """Lines that describe a mask, bool (H, W), and its response map, float32 (H, W)."""
    area = np.count_nonzero(mask)
    box = "none, the mask is empty"
    if area:
        left, top, right, bottom = bounding_box(mask)
        box = f"x {left} to {right}, y {top} to {bottom}"
    return [
        f"area   {area} of {mask.size} pixels ({100 * area / mask.size:.2f} %)",
        f"box    {box}",
        f"score  {score_of(response):.2f}, from responses {response.min():+.2f} to "
        f"{response.max():+.2f}, mean {response.mean():+.2f}",
    ]


def segment(segmenter, path, expressions, options):
    """Segment a picture; returns its overlays, with captions.

    ``expressions`` are {expression: the words that the net reads}. Raises ImageError.
    """
    image, tiles = read_image(path, oriented=True), []
    print(os.fsencode(path).decode(errors="backslashreplace"))
    responses = segmenter.responses(image, list(expressions.values()))
    for expression, response in zip(expressions, responses):
        mask = refine(image, response > 0) if options.refine else response > 0
        name = free_name(options.out, f"{plain(path.stem)}_{plain(expression)}", "_mask.png")
        drawn = overlay(image, mask)
        write_png(options.out / f"{name}_mask.png", mask.astype(np.uint8) * 255)
        write_png(options.out / f"{name}_overlay.png", drawn)
        tiles.append((expression, drawn))
        print(f"  {shorten(expression)}")
        for line in statistics(mask, response):
            print(f"    {line}")
        print(f"    files  {options.out / name}_mask.png, _overlay.png")
    return tiles


def main():
    """Segment every expression in every picture."""
    options = parse()
    vocabulary, open_segmenter = chosen_model(options)
    if options.list_words:
        print("\n".join(vocabulary.spoken))
        return
    said = [expression for expressions in options.pictures.values() for expression in expressions]
    read = {expression: understand(expression, vocabulary, options)
            for expression in dict.fromkeys(said)}
    if not any(words is not None for words in read.values()):
        raise UserError("nothing to segment: --words lists what the net knows, --guess segments "
                        "expressions without a known word too")

    segmenter = open_segmenter()
    tiles, unreadable = [], []
    for path, expressions in options.pictures.items():
        known = {each: read[each] for each in expressions if read[each] is not None}
        try:
            tiles += segment(segmenter, path, known, options)
        except ImageError as error:
            unreadable.append(str(error))
    if tiles:
        sheet = options.out / f"{free_name(options.out, 'sheet', '.jpg')}.jpg"
        write_image(sheet, contact_sheet(tiles))
        print(f"all on one page: {sheet}")
    if unreadable:
        raise UserError("; ".join(unreadable))


if __name__ == "__main__":
    environment.run(main)
