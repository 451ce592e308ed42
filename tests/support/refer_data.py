"""A small data set in the layout of the refer toolbox."""

import json

import cv2
import numpy as np

HEIGHT, WIDTH = 20, 30


def rectangle(left, top, right, bottom):
    """Return the polygon of the pixels from (left, top) up to but without (right, bottom)."""
    return [left, top, right, top, right, bottom, left, bottom]


def pickled(value):
    """Return a plain value as Python 2 pickles it with protocol 0: texts are bytes of UTF-8."""
    def dump(value):
        if isinstance(value, str):
            return f"S{str(value.encode())[1:]}\n".encode()
        if isinstance(value, int):
            return f"I{value}\n".encode()
        if isinstance(value, list):
            return b"(l" + b"".join(dump(item) + b"a" for item in value)
        return b"(d" + b"".join(dump(key) + dump(item) + b"s" for key, item in value.items())

    return dump(value) + b"."


class ReferData:
    """A data set of the toolbox: pictures of 30 x 20 pixels, an annotation and a ref in each."""

    def __init__(self, folder, dataset="refcoco", split_by="unc", images=None,
                 splits=("train", "train", "val", "testA", "testB")):
        self.folder, self.dataset = folder, dataset
        self.refs_file = folder / dataset / f"refs({split_by}).p"
        self.images = folder / (images or "images/mscoco/images/train2014")
        self.images.mkdir(parents=True)
        self.refs_file.parent.mkdir()
        self.refs = [self.ref(number, split) for number, split in enumerate(splits, 1)]
        self.instances = {
            "images": [self.picture(number) for number in range(1, len(splits) + 1)],
            "annotations": [
                self.annotation(number, [rectangle(2, 3, 2 + number, 7)])
                for number in range(1, len(splits) + 1)
            ],
            "categories": [{"id": 1, "name": "person"}],
        }
        self.write()

    def ref(self, number, split, **changes):
        texts = [f"man {number}", "the man on the left"]
        return {
            "ref_id": number, "ann_id": 100 + number, "image_id": 1000 + number, "split": split,
            "category_id": 1, "file_name": f"COCO_train2014_{number:012}_{number}.jpg",
            "sent_ids": [10 * number, 10 * number + 1],
            "sentences": [
                {"sent_id": 10 * number + n, "sent": text, "raw": text.upper(),
                 "tokens": text.split()}
                for n, text in enumerate(texts)
            ], **changes,
        }

    def picture(self, number):
        name = f"COCO_train2014_{number:012}.jpg"
        cv2.imwrite(str(self.images / name), np.full((HEIGHT, WIDTH, 3), 20 * number, np.uint8))
        return {"id": 1000 + number, "file_name": name, "height": HEIGHT, "width": WIDTH}

    def annotation(self, number, segmentation):
        return {"id": 100 + number, "image_id": 1000 + number, "category_id": 1, "iscrowd": 0,
                "segmentation": segmentation, "bbox": [0.0, 0.0, 1.0, 1.0], "area": 1.0}

    def write(self):
        self.refs_file.write_bytes(pickled(self.refs))
        path = self.refs_file.with_name("instances.json")
        path.write_text(json.dumps(self.instances))
