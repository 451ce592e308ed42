"""Fetch the real data and weights: ReferIt, its splits and boxes, VGG-16, FCN-32s, edge model.

    python tools/download.py --list
    python tools/download.py referit expressions splits vgg16
"""

from common import environment

environment.enter()

import argparse
import logging
import sys
from pathlib import Path

from objseg.download.client import Client, item_state
from objseg.download.manifest import amount, by_hand, read_manifest
from objseg.download.vgg16_convolutions import fetch_convolutions
from objseg.errors import UserError
from objseg.files import REPOSITORY


def print_list(items, root):
    """Print a table of the items, their state below the folder ``root``, size and terms."""
    for item in items.values():
        print(f"{item.name:20}{item_state(item, root):10}{amount(item.size):14}{item.about}")
        print(f"{'':44}terms: {item.terms}")


def fetch(items, root):
    """Fetch ``items`` below the folder ``root``; raise UserError if something could not be had."""
    client, missing, failed = Client(), [], []
    for item in items:
        try:
            files = fetch_convolutions(item, root) if item.package else client.fetch(item, root)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            failed.append(item.name)
        else:
            if files:
                failed.append(item.name)
            missing += [by_hand(item, file, root) for file in files]
    if client.unreachable:
        print(
            f"Not reachable from here: {', '.join(sorted(client.unreachable))}. Is there a "
            "network, or does it need a proxy (https_proxy)?", file=sys.stderr,
        )
    if missing:
        print("Where each file belongs, and where it is published:", *missing, sep="\n",
              file=sys.stderr)
    if failed:
        raise UserError(
            f"not fetched: {', '.join(failed)}. Put the files where they are named, then run: "
            f"python tools/download.py {' '.join(failed)}"
        )


def main():
    """Parse the command line; list or fetch."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help="what to fetch, such as vgg16; --list shows the names")
    parser.add_argument("--all", action="store_true", help="fetch everything that --list shows")
    parser.add_argument("--list", action="store_true",
                        help="print each NAME, whether it is here, its size and its terms")
    parser.add_argument("--dir", default=REPOSITORY, metavar="DIR",
                        help="folder whose data/ and models/ are filled (default: the repository)")
    parser.add_argument("--manifest", default=REPOSITORY / "data" / "manifest.json", metavar="FILE",
                        help="list of names, places and checksums (default: data/manifest.json)")
    arguments = parser.parse_args()

    items = read_manifest(arguments.manifest)
    if arguments.list:
        print_list(items, arguments.dir)
        return
    names = list(items) if arguments.all else arguments.names
    unknown = [name for name in names if name not in items]
    if unknown or not names:
        found = f"no such NAME: {', '.join(unknown)}" if unknown else "no NAME given"
        parser.error(f"{found}; known are {', '.join(items)}")

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    fetch([items[name] for name in names], Path(arguments.dir))


if __name__ == "__main__":
    environment.run(main)
