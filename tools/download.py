"""Fetch the real data and weights: ReferIt, its splits and boxes, VGG-16, FCN-32s, edge model.

    python tools/download.py --list
    python tools/download.py referit expressions splits vgg16
"""

from common import environment

environment.enter()

import argparse
import sys

from objseg.archives import amount
from objseg.download import fetch, item_size, item_state, read_manifest
from objseg.errors import UserError
from objseg.files import REPOSITORY


def print_list(items, root):
    """Print a table of the items, their state below the folder ``root``, size and terms."""
    for item in items.values():
        print(f"{item.name:18}{item_state(item, root):10}{amount(item_size(item)):14}{item.about}")
        print(f"{'':42}terms: {item.terms}")


def main():
    """Run the tool; the exit status is 1 when something could not be fetched."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to fetch; see --list")
    parser.add_argument("--all", action="store_true", help="fetch everything")
    parser.add_argument("--list", action="store_true", help="show the names and what is there")
    parser.add_argument("--dir", default=REPOSITORY, metavar="DIR",
                        help="folder in which data/ and models/ lie (default: the repository)")
    parser.add_argument("--manifest", default=REPOSITORY / "data" / "manifest.json", metavar="FILE",
                        help="list of names, places and checksums (default: data/manifest.json)")
    arguments = parser.parse_args()

    items = read_manifest(arguments.manifest)
    if arguments.list:
        print_list(items, arguments.dir)
        return 0
    names = list(items) if arguments.all else arguments.names
    unknown = [name for name in names if name not in items]
    if unknown or not names:
        found = f"no such NAME: {', '.join(unknown)}" if unknown else "no NAME given"
        parser.error(f"{found}; known are {', '.join(items)}")

    failed = []
    for name in names:
        try:
            fetch(items[name], arguments.dir)
        except (UserError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            failed.append(name)
    if failed:
        print(f"error: not fetched: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    environment.run(main)
