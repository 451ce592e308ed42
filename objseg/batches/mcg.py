"""Training batches of classification over segmentation proposals: segments and expressions."""

from dataclasses import dataclass

import numpy as np

from objseg.batches.groups import Group, Groups
from objseg.batches.order import ExpressionSettings, check_vocabulary, image_count
from objseg.errors import UserError
from objseg.metrics import areas, iou, passes
from objseg.regions.boxes import BOX_FEATURES
from objseg.regions.segments import SegmentReader, segment_inputs, segments_file


@dataclass(frozen=True, kw_only=True)
class McgSettings(ExpressionSettings):
    """The parameters of python_layers/mcg_data.py."""

    proposals: str
    segments: int
    crop: int
    expressions_per_image: int = 1

    def __post_init__(self):
        super().__post_init__()
        image_count(self)
        if self.segments < self.expressions_per_image:
            raise UserError(
                f"{self.segments} segments of an image cannot hold a match for each of its "
                f"{self.expressions_per_image} expressions"
            )

    def shapes(self) -> dict[str, tuple]:
        """Return the tops' shapes, {name: shape} in their order."""
        segments, pairs = image_count(self) * self.segments, self.batch * self.segments
        text = (self.words, self.batch)
        return {
            "image": (segments, 3, self.crop, self.crop),
            "spatial": (segments, BOX_FEATURES, 1, 1),
            "tokens": text,
            "continuation": text,
            "region_index": (pairs,),
            "sample_index": (pairs,),
            "label": (pairs, 1, 1, 1),
        }


class McgBatchMaker:
    """Makes the batches of :class:`McgSettings`; see :mod:`objseg.batches`.

    Each of an image's E expressions is paired with the same K of its proposals. They hold, for
    every expression, the proposal of best IoU with its region, if that is a match: among 100
    proposals drawn at random it would be seen once in a while only. The others are drawn without
    replacement. So one expression's match is the hardest negative of another: a good segment, but
    of another region. Proportions of training do not matter at test, where only the ranking of an
    image's proposals counts. An expression that no proposal matches is trained on segments that do
    not match it. Where an image has fewer than K proposals they repeat.
    """

    def __init__(self, settings: McgSettings):
        self.settings, self.shapes = settings, settings.shapes()
        self.groups = Groups(settings, settings.expressions_per_image)
        check_vocabulary(self.groups.dataset, settings.vocabulary)
        images = {sample.image.id: sample.image for sample in self.groups.samples}
        self.read_segments = SegmentReader(settings.proposals)
        self.read_segments.index.check(images.values())
        paths = [segments_file(settings.proposals, image) for image in images]
        missing = sorted(path for path in paths if not path.is_file())
        if missing:
            raise UserError(
                f"{missing[0]} does not exist; {len(missing)} of the {len(paths)} images of the "
                f"{settings.split} split lack segment proposals; make them with: "
                "python tools/make_proposals.py --kind segments"
            )

    def __call__(self, batch: int) -> dict:
        """Make batch number ``batch``, from 0."""
        settings = self.settings
        groups = self.groups.read(batch, image_count(settings))
        parts = [self._part(group) for group in groups]
        samples = [sample for group in groups for sample in group.samples]
        pairs = np.arange(settings.batch * settings.segments, dtype=np.int32)
        expression = pairs // settings.segments
        of_image = expression // settings.expressions_per_image
        return {
            **{key: np.concatenate([part[key] for part in parts]) for key in ("image", "spatial")},
            **self.groups.dataset.vocabulary.encode_all(
                [sample.expression for sample in samples], settings.words
            ),
            "region_index": of_image * settings.segments + pairs % settings.segments,
            "sample_index": expression,
            "label": np.concatenate([part["label"] for part in parts]).reshape(-1, 1, 1, 1),
            "samples": [str(sample) for sample in samples],
        }

    def _part(self, group: Group) -> dict:
        """Choose K segments of an image; returns its rows of image and spatial, label (E, K)."""
        segments = self.read_segments(group.samples[0].image.id, *group.pixels.shape[:2])
        overlaps = {
            region: np.transpose([areas(segment, group.masks[region]) for segment in segments])
            for region in {sample.region.id for sample in group.samples}
        }  # {region id: (2, R)}
        intersections, unions = np.stack(
            [overlaps[sample.region.id] for sample in group.samples], axis=1
        )
        match = passes(intersections, unions, 5)  # (E, R), IoU of at least 5 tenths
        best = iou(intersections, unions).argmax(axis=1)
        needed = np.unique(best[match.any(axis=1)])
        random = np.random.RandomState([self.settings.seed, group.position])
        others = np.setdiff1d(np.arange(match.shape[1]), needed)
        chosen = np.append(needed, random.permutation(others))
        chosen = np.resize(chosen, self.settings.segments)
        seen = segment_inputs(
            group.pixels, [segments[index] for index in chosen], self.settings.crop
        )
        return {**seen, "label": match[:, chosen]}
