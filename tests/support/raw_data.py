"""A small raw data set in ReferIt's layout."""

import json

import cv2
import numpy as np
import scipy.io

GAMES = [
    "1_1.jpg~sky~.5~.1",
    "1_2.jpg~red car~.5~.9",
    "1_2.jpg~red car~.4~.8",  # another player, the same words
    "2_10.jpg~tree~.1~.2",
    "2_2.jpg~sky on top~.1~.2",
    "3_1.jpg~tree~.3~.3",
    "4_1.jpg~the sky.~.3~.3",
]


class Raw:
    """A small data set in ReferIt's layout: images of 8x6 pixels, two in train, one each else.

    Its images are 1 to 4, each with the ``prefix`` in front, in grays above ``gray``.
    """

    def __init__(self, folder, prefix="", gray=90):
        self.folder = folder
        for name in ("images", "mask", "split"):
            (folder / name).mkdir(parents=True)
        for image in "1234":
            self.image(f"{prefix}{image}.jpg", np.full((6, 8, 3), gray + int(image), np.uint8))
        for number, region in enumerate(("1_1", "1_2", "2_2", "2_10", "3_1", "4_1")):
            mask = np.zeros((6, 8), bool)
            mask[1:3, number:number + 2] = True
            self.mask(f"{prefix}{region}", mask)
        self.split("train", f"{prefix}2 {prefix}1")
        self.split("val", f"{prefix}3")
        self.split("test", f"{prefix}4")
        self.games([f"{prefix}{line}" for line in GAMES])

    def image(self, name, pixels):
        assert cv2.imwrite(str(self.folder / "images" / name), pixels)

    def mask(self, region, mask, dtype="uint8"):
        path = self.folder / "mask" / f"{region}.mat"
        scipy.io.savemat(path, {"segimg_t": np.where(mask, 0, 1).astype(dtype)})

    def split(self, name, images, end="\n"):
        path = self.folder / "split" / f"referit_{name}_imlist.txt"
        path.write_bytes("".join(image + end for image in images.split()).encode())

    def games(self, lines, end="\n", encoding="utf-8"):
        data = "".join(line + end for line in lines).encode(encoding)
        (self.folder / "RealGames.txt").write_bytes(data)

    def json(self, name, content):
        (self.folder / f"referit_{name}.json").write_text(json.dumps(content))
