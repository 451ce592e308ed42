"""Make the start of stage 1 from the ILSVRC VGG-16.

    python tools/download.py vgg16
    python tools/init_vgg16.py

fc6, fc7 and fc8 become convolutions of the same numbers; the LSTM's forget bias is set to 1.
"""

from common import environment

environment.enter()

from pathlib import Path

from common.arguments import Parser, not_negative

from models.ours import starting_net
from models.sizes import PAPER
from objseg.caffe.prototxt import build_net
from objseg.files import REPOSITORY, checksum

SHA1 = "9363e1f6d65f7dba68c4f27a1e62105cdf6c4e24"
"""Of VGG_ILSVRC_16_layers.caffemodel, published with it."""


def main():
    """Check the file, fit its weights to the trunk, write the start."""
    parser = Parser(__doc__)
    parser.add_argument("--vgg16", type=Path, metavar="FILE", help="the weights of VGG-16",
                        default=REPOSITORY / "models" / "VGG_ILSVRC_16_layers.caffemodel")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the starting weights",
                        default=REPOSITORY / PAPER.pretrained)
    parser.add_argument("--seed", type=not_negative, metavar="N", default=1,
                        help="of the LSTM's random start")
    parser.add_argument("--any-checksum", action="store_true",
                        help="accept another file of the same architecture")
    options = parser.parse_args()

    import caffe

    from objseg.caffe.weights import (
        WeightsError, fully_convolutional, read_caffemodel, save_starting_weights,
    )

    source, out = options.vgg16, options.out
    if not source.is_file():
        raise WeightsError(f"{source}: no such file; run: python tools/download.py vgg16")
    found = checksum(source, "sha1")
    if found != SHA1 and not options.any_checksum:
        raise WeightsError(
            f"{source}: sha1 {found}, expected {SHA1}. The file is broken or another one: delete "
            "it and run python tools/download.py vgg16, or pass --any-checksum if you mean it"
        )
    caffe.set_mode_cpu()
    caffe.set_random_seed(options.seed)
    net = build_net(starting_net(PAPER), caffe.TEST)
    try:
        trunk = fully_convolutional(read_caffemodel(source), net)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}; expected VGG-16 as published for ILSVRC") from error
    save_starting_weights(net, trunk, out)
    print(f"{out}: {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    environment.run(main)
