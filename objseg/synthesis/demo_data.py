"""Writing the embedded data set as ReferIt lies on disk.

The folder holds images/<scene>.jpg, mask/<scene>_<region>.mat (variable segimg_t, 0 on the
foreground), RealGames.txt (one line an expression: region, expression, click), the lists
split/referit_{train,val,trainval,test}_imlist.txt, settings.json, and about.json, which says that
the images are drawn. The same settings give the same bytes whatever the number of processes.
"""

import contextlib
import io
import json
import logging
import shutil
from pathlib import Path

import cv2
import numpy as np
import scipy.io

from objseg.data.images import write_image
from objseg.errors import UserError
from objseg.files import Progress, write_text
from objseg.parallel.prefetch import Prefetcher
from objseg.synthesis.referring import list_attributes, refer
from objseg.synthesis.scenes import Scene, draw_scene

VERSION = 1  # of drawings and expressions: raise it when the same seed comes to give other files
logger = logging.getLogger(__name__)
MODES = ("referring", "attributes")


def make_scene(number: int, seed: int, mode: str) -> tuple[Scene, list, np.random.Generator]:
    """Draw scene ``number``; returns it, its regions, and the generator they came from.

    It is the same on every machine. The two modes share no scene even for the same seed, so that
    what is learnt from attributes never saw a test scene.
    """
    rng = np.random.default_rng([seed, MODES.index(mode), number])
    scene = draw_scene(rng)
    return scene, refer(scene, rng) if mode == "referring" else list_attributes(scene), rng


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write a bool (H, W) mask as ReferIt does: variable segimg_t, 0 on the foreground."""
    stream = io.BytesIO()
    image = np.where(mask, np.uint8(0), np.uint8(255))
    scipy.io.savemat(stream, {"segimg_t": image}, do_compression=True)
    header = b"MATLAB 5.0 MAT-file".ljust(116)  # scipy's holds the time of writing
    path.write_bytes(header + stream.getvalue()[len(header):])


def write_scene(number: int, folder: Path, seed: int, mode: str) -> str:
    """Write a scene's picture and masks; returns its lines for RealGames.txt."""
    scene, regions, rng = make_scene(number, seed, mode)
    height, width = scene.labels.shape
    lines = []
    for region, (target, spoken) in enumerate(regions, 1):
        mask = scene.mask(target)
        write_mask(folder / "mask" / f"{number}_{region}.mat", mask)
        inside = np.flatnonzero(mask)
        for _, expression in spoken:
            y, x = divmod(int(rng.choice(inside)), width)  # where the second player clicked
            lines.append(
                f"{number}_{region}.jpg~{expression}~{x / width:.12f}~{y / height:.12f}\n"
            )
    picture = folder / "images" / f"{number}.jpg"
    write_image(picture, scene.image, cv2.IMWRITE_JPEG_QUALITY, 90)
    return "".join(lines)


def read_settings(folder: Path) -> dict | None:
    """Return the settings that ``folder`` was made with, or None if it is absent or empty.

    Raises UserError for a folder that this module did not make.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return None
    with contextlib.suppress(FileNotFoundError, ValueError):
        settings = json.loads((folder / "settings.json").read_bytes())
        if isinstance(settings, dict) and "scenes" in settings:
            return settings
    raise UserError(f"{folder}: holds files but no settings.json of drawn scenes, so it was not "
                    "made by this tool and is left alone; choose another folder with --out")


def make_data(
    out: Path, scenes: dict[str, int], seed: int, mode: str, workers: int, overwrite: bool = False
) -> None:
    """Make the data set in the folder ``out``, unless it is there already.

    ``scenes`` gives the numbers of scenes of "train", "val" and "test"; ``seed`` is 0 or more;
    ``mode`` is one of MODES; ``workers`` is the number of processes. The set grows in a folder
    beside ``out`` and is renamed at the end, so that ``out`` is always whole. Raises UserError if
    ``out`` holds files that this function did not write, or, without ``overwrite``, a set of other
    settings.
    """
    settings = {"version": VERSION, "seed": seed, "expressions": mode, "scenes": scenes}
    found = read_settings(out)
    if found == settings:
        logger.info("%s: complete, nothing to do", out)
        return
    if found is not None and not overwrite:
        raise UserError(f"{out}: made with the settings {found}, but {settings} are wanted; "
                         "choose another folder with --out, or replace this one with --overwrite")
    growing, count = out.with_name(f".{out.name}.partial"), sum(scenes.values())
    shutil.rmtree(growing, ignore_errors=True)
    for name in ("images", "mask", "split"):
        (growing / name).mkdir(parents=True)
    stream = Prefetcher(
        lambda number: write_scene(number, growing, seed, mode), workers, first=1, count=count
    )
    games = []
    with contextlib.closing(stream), Progress(count, "draw", "scene") as progress:
        for lines in stream:
            games.append(lines)
            progress.advance()
    write_text(growing / "RealGames.txt", "".join(games))
    write_lists(growing / "split", scenes)
    write_text(growing / "about.json", '{"images": "drawn", "expressions": "program"}\n')
    write_text(growing / "settings.json", json.dumps(settings) + "\n")
    shutil.rmtree(out, ignore_errors=True)
    growing.rename(out)
    expressions = "".join(games).count("\n")
    logger.info("%s: %d scenes, %d expressions", out, count, expressions)


def write_lists(folder: Path, scenes: dict[str, int]) -> None:
    """Write the split lists; the scenes of train, val and test are numbered in turn."""
    members, first = {}, 1
    for split, count in scenes.items():
        members[split] = list(range(first, first + count))
        first += count
    members["trainval"] = members["train"] + members["val"]
    for split, numbers in members.items():
        write_text(folder / f"referit_{split}_imlist.txt",
                   "".join(f"{number}\n" for number in numbers))
