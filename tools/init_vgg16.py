"""Make the start of stage 1 from VGG-16 as trained on ILSVRC.

    python tools/download.py vgg16
    python tools/init_vgg16.py

fc6, fc7 and fc8 become convolutions of the same numbers; the LSTM's forget bias is set to 1. Where
`vgg16` cannot be had, `vgg16-convolutions` can: then fc6 to fc8 start at random.
"""

from common import environment

environment.enter()

from pathlib import Path

from common.arguments import Parser, not_negative

from models.ours import starting_net
from models.sizes import PAPER
from objseg.caffe.prototxt import build_net
from objseg.download.client import fault_of
from objseg.download.manifest import amount, read_manifest
from objseg.files import REPOSITORY

ITEMS = ("vgg16", "vgg16-convolutions")
"""The downloads to start from, the better one first."""


def find_source(path, any_checksum):
    """Return ``path``, or where it is None the best download that is here; verified."""
    from objseg.caffe.weights import WeightsError

    items = read_manifest(REPOSITORY / "data" / "manifest.json")
    files = {name: items[name].files[0] for name in ITEMS}
    downloads = "run: " + " or ".join(
        f"python tools/download.py {name} ({amount(file.size)})" for name, file in files.items()
    )
    if path is None:
        places = [REPOSITORY / file.path for file in files.values()]
        path = next(filter(Path.is_file, places), None)
        if path is None:
            raise WeightsError(f"neither {places[0]} nor {places[1]} is there; {downloads}")
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; {downloads}")
    faults = {name: fault_of(path, file) for name, file in files.items()}
    if all(faults.values()) and not any_checksum:
        found = "; ".join(f"as {name}, {fault}" for name, fault in faults.items())
        raise WeightsError(
            f"{path} is broken or another file: {found}. Move it away and {downloads}, or pass "
            "--any-checksum if you mean it"
        )
    return path


def main():
    """Check the file, fit its weights to the trunk, write the start."""
    parser = Parser(__doc__)
    parser.add_argument("--vgg16", type=Path, metavar="FILE",
                        help="the weights of VGG-16 or of its convolutions (default: what "
                             "tools/download.py has fetched)")
    parser.add_argument("--out", type=Path, metavar="FILE",
                        default=REPOSITORY / PAPER.pretrained, help="the starting weights")
    parser.add_argument("--seed", type=not_negative, metavar="N", default=1,
                        help="of the LSTM's random start, and of fc6 to fc8 where they are random")
    parser.add_argument("--any-checksum", action="store_true",
                        help="accept another file of the same architecture")
    options = parser.parse_args()

    import caffe

    from objseg.caffe.starting_weights import fully_convolutional, save_starting_weights
    from objseg.caffe.weights import WeightsError, read_caffemodel

    source, out = find_source(options.vgg16, options.any_checksum), options.out
    caffe.set_mode_cpu()
    caffe.set_random_seed(options.seed)
    net = build_net(starting_net(PAPER), caffe.TEST)
    try:
        trunk = fully_convolutional(read_caffemodel(source), net)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}; expected VGG-16 as published for ILSVRC") from error
    save_starting_weights(net, trunk, out)
    random = [name for name in net.params if name.startswith("fc") and name not in trunk]
    print(f"{out}: {out.stat().st_size:,} bytes; conv1_1 to {list(trunk)[-1]} from {source}"
          + (f", {', '.join(random)} at random" if random else ""))


if __name__ == "__main__":
    environment.run(main)
