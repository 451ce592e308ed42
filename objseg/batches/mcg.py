"""Training batches of segments and expressions, a pure function of (settings, batch number)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from objseg.batches.ours import BatchMaker, SharedImages, check_counts, check_seed
from objseg.errors import UserError
from objseg.metrics import areas, iou, passes
from objseg.regions.boxes import SPATIAL
from objseg.regions.segments import read_segments, segment_inputs, segments_file


@dataclass(frozen=True)
class McgSettings(SharedImages):
    """The contents of a batch; the keys of the data layer's ``param_str``.

    ``data``: prepared data set; ``split``: train, val, trainval or test; ``proposals``: folder
    of its segment proposals; ``batch``: expressions N in a batch, ``expressions_per_image`` E of
    them on one image; ``segments``: proposals K of an image that each of its expressions is trained
    on; ``crop``: side C of their pictures in pixels; ``words``: steps T; ``vocabulary``: rows of
    the embedding; ``seed`` of the order and of the choice of segments; ``workers`` processes.
    """

    data: str
    split: str
    proposals: str
    batch: int
    segments: int
    crop: int
    words: int
    vocabulary: int
    expressions_per_image: int = 1
    seed: int = 1
    workers: int = 1

    # Of BatchSettings, what has no meaning here.
    label_words: ClassVar = False
    frequent_words: ClassVar = 0

    def __post_init__(self):
        check_counts(self, "batch", "segments", "crop", "words", "vocabulary",
                     "expressions_per_image", "workers")
        check_seed(self)
        self.check_sharing()
        if self.segments < self.expressions_per_image:
            raise UserError(
                f"{self.segments} segments of an image cannot hold a match for each of its "
                f"{self.expressions_per_image} expressions"
            )

class McgBatchMaker(BatchMaker):
    """Makes batch number ``b`` of the endless stream: ``maker(b)`` returns a dict of arrays.

    Every one of an image's E expressions is paired with the same K of its proposals: M = N K pairs.

    image (I K, 3, C, C) uint8 BGR, not yet mean-subtracted; spatial (I K, 8, 1, 1) float32; tokens
    (T, N) int32; continuation (T, N) float32; region_index and sample_index (M,) int32, the segment
    and the expression of each pair; label (M, 1, 1, 1) bool, whether the IoU of the segment and the
    expression's region is at least 0.5; and ``samples``, ``unreadable`` as in :class:`BatchMaker`.

    The K hold, for every expression, the proposal of best IoU with its region, if that is a match:
    among 100 proposals drawn at random it would be seen once in a while only. The others are drawn
    without replacement. So one expression's match is the hardest negative of another: a good
    segment, but of another region. Proportions of training do not matter at test, where only the
    ranking of an image's proposals counts. An expression that no proposal matches is trained on
    segments that do not match it. Where an image has fewer than K proposals they repeat.
    """

    def __init__(self, settings):
        super().__init__(settings)
        paths = {segments_file(settings.proposals, sample.image.id) for sample in self.samples}
        missing = sorted(path for path in paths if not path.is_file())
        if missing:
            raise UserError(
                f"{missing[0]} does not exist; {len(missing)} of the {len(paths)} images of the "
                f"{settings.split} split lack segment proposals; make them with: "
                "python tools/make_proposals.py --kind segments"
            )

    @property
    def shapes(self):
        """Shapes of the tops, {name: shape} in their order."""
        settings, N = self.settings, self.settings.batch
        segments, pairs = settings.images * settings.segments, N * settings.segments
        return {
            "image": (segments, 3, settings.crop, settings.crop),
            "spatial": (segments, SPATIAL, 1, 1),
            "tokens": (settings.words, N),
            "continuation": (settings.words, N),
            "region_index": (pairs,),
            "sample_index": (pairs,),
            "label": (pairs, 1, 1, 1),
        }

    def __call__(self, batch):
        """Make batch number ``batch``, from 0."""
        settings, unreadable = self.settings, []
        positions = range(batch * settings.images, (batch + 1) * settings.images)
        parts = [self._chosen(self._readable_part(p, unreadable), p) for p in positions]
        samples = [sample for part in parts for sample in part["samples"]]
        pairs = np.arange(settings.batch * settings.segments, dtype=np.int32)
        expression = pairs // settings.segments
        of_image = expression // settings.expressions_per_image
        return {
            **{key: np.concatenate([part[key] for part in parts]) for key in ("image", "spatial")},
            **self.dataset.vocabulary.encode_all(
                [sample.expression for sample in samples], settings.words
            ),
            "region_index": of_image * settings.segments + pairs % settings.segments,
            "sample_index": expression,
            "label": np.concatenate([part["label"] for part in parts]).reshape(-1, 1, 1, 1),
            "samples": [str(sample) for sample in samples],
            "unreadable": unreadable,
        }

    def _part(self, group):
        """An image with all its segments, and the areas (E, 2, R) of their overlap."""
        samples = [self.samples[index] for index in group]
        image = samples[0].image
        pixels, masks = self.dataset.pixels_and_masks(image)
        segments = read_segments(self.settings.proposals, image.id, *pixels.shape[:2])
        overlaps = {
            region: np.transpose([areas(segment, masks[region]) for segment in segments])
            for region in {sample.region.id for sample in samples}
        }
        return {
            "samples": samples, "pixels": pixels, "segments": segments,
            "overlaps": np.stack([overlaps[sample.region.id] for sample in samples]),
        }

    def _chosen(self, part, position):
        """The K segments that the group at ``position`` is trained on."""
        settings = self.settings
        intersections, unions = part["overlaps"].transpose(1, 0, 2)
        match = passes(intersections, unions, 5)  # (E, R)
        best = iou(intersections, unions).argmax(axis=1)
        needed = np.unique(best[match.any(axis=1)])
        random = np.random.RandomState([settings.seed, position])
        others = np.setdiff1d(np.arange(match.shape[1]), needed)
        chosen = np.resize(np.append(needed, random.permutation(others)), settings.segments)
        segments = [part["segments"][index] for index in chosen]
        return {
            "samples": part["samples"], "label": match[:, chosen],
            **segment_inputs(part["pixels"], segments, settings.crop),
        }
