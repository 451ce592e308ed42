"""The model that segments: options that choose it, and opening it."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from common.arguments import add_device, add_trained_model

from models.sizes import SIZES
from objseg.data.expressions import Vocabulary
from objseg.errors import UserError
from objseg.files import REPOSITORY
from objseg.methods.configuration import configure
from objseg.methods.onnx_segmenter import OnnxSegmenter
from objseg.methods.ours import CaffeSegmenter
from objseg.methods.segmenter import Segmenter
from objseg.training.snapshot import origin


def add_model_choice(parser: argparse.ArgumentParser) -> None:
    """Add --method, --size, --weights, --onnx, --gpu and --cpu."""
    add_trained_model(parser)
    parser.add_argument("--onnx", type=Path, metavar="FILE",
                        help="a model of tools/export_onnx.py, run by onnxruntime on the CPU "
                        "(this tool enters the Caffe environment all the same); "
                        "--method and --size do not count (default: the net in Caffe)")
    add_device(parser)


def chosen_model(options: argparse.Namespace) -> tuple[Vocabulary, Callable[[], Segmenter]]:
    """Return the vocabulary of the chosen model, and a function that opens its segmenter.

    The function warns of a model that has seen no photographs. Raises UserError where files are
    missing, or options do not go together.
    """
    if options.onnx:
        if options.weights or options.gpu is not None:
            raise UserError("--onnx names a model with its weights, for the CPU: leave out "
                            "--weights and --gpu")
        segmenter = OnnxSegmenter(options.onnx)
        vocabulary, images = segmenter.vocabulary, segmenter.images
    else:
        size = SIZES[options.size]
        chosen = configure(
            options.method, size, REPOSITORY / size.data, options.weights, options.gpu
        )
        segmenter, vocabulary = None, Vocabulary.load(chosen.vocabulary)
        images = origin(chosen.weights).get("images")

    def open_segmenter():
        if images == "drawn":
            warn("these weights have seen drawn images only; on a photograph their masks mean "
                 "nothing")
        return segmenter or CaffeSegmenter(chosen.deploy, chosen.weights, vocabulary, chosen.gpu)

    return vocabulary, open_segmenter


def warn(message: str) -> None:
    """Print a warning beside the results, not among them."""
    print(f"warning: {message}", file=sys.stderr)
