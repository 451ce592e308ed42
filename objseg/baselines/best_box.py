"""The mask of the candidate box that scores best: its rectangle, or GrabCut inside it (4.1)."""

from objseg.boxes import box_mask
from objseg.devices import use_device
from objseg.expressions import Vocabulary
from objseg.region_features import FeaturesError, region_source
from objseg.weights import check_vocabulary, load_net


def rectangle(image, box):
    """All of ``box`` (4,) in ``image`` (H, W, 3): bool (H, W)."""
    return box_mask(box, *image.shape[:2])


def open_best_box(scorer, to_mask, configuration):
    """Load what the Configuration names; returns the function that a Method's ``open`` returns.

    ``scorer(net, vocabulary)`` returns a function of an image's RegionFeatures and N expressions to
    the scores (N, B) of its boxes. ``to_mask`` turns an image and its best box into a mask.
    """
    use_device(configuration.gpu)
    net = load_net(configuration.deploy, configuration.weights)
    vocabulary = Vocabulary.load(configuration.vocabulary)
    check_vocabulary(net, vocabulary, configuration.deploy, configuration.vocabulary)
    score, features_of = scorer(net, vocabulary), region_source(configuration)

    def masks(image, expressions, image_id=None):
        regions = features_of(image, image_id)
        for scores in score(regions, expressions):
            yield to_mask(image, regions.boxes[scores.argmax()])

    return masks


def check_width(blob, features):
    """Raise FeaturesError unless rows of ``features`` (R, D) fit the net's ``blob`` (·, D)."""
    if features.shape[1] != blob.shape[1]:
        raise FeaturesError(
            f"{features.shape[1]} features of a box for a net that takes {blob.shape[1]}: the net "
            "and the trunk are of different sizes"
        )
