"""VGG-16's convolutions, which the model for photographs needs beside its own weights."""

import sys

from objseg.download.manifest import read_manifest
from objseg.files import REPOSITORY


def fetch_convolutions_once():
    """Fetch the convolutions of the net for photographs, unless they are here."""
    item = read_manifest(REPOSITORY / "data" / "manifest.json")["vgg16-convolutions"]
    if not (REPOSITORY / item.files[0].path).is_file():
        from objseg.download.vgg16_convolutions import fetch_convolutions  # takes time to load

        print("the first use fetches VGG-16's convolutions (60 MB)", file=sys.stderr)
        fetch_convolutions(item, REPOSITORY)
