"""The model for photographs that comes with the project: its files, and what it sees."""

import caffe
import cv2
import numpy as np
import pytest
from skimage import data

from models.netspec import inputs, one_phase
from models.sizes import PHOTO
from models.vgg16 import add_trunk
from objseg.caffe.prototxt import prototxt
from objseg.caffe.weights import check_fits
from objseg.data.expressions import Vocabulary
from objseg.files import REPOSITORY, sha256
from objseg.methods.nets import deploy_beside, vocabulary_beside, weights_in
from objseg.methods.ours import CaffeSegmenter
from objseg.training.snapshot import origin

FOLDER = REPOSITORY / PHOTO.published
CONVOLUTIONS = REPOSITORY / PHOTO.pretrained


def test_its_files_belong_together_and_lack_the_convolutions_alone():
    weights = weights_in(FOLDER, "highres")
    vocabulary = vocabulary_beside(weights, "highres")
    facts = origin(weights)
    assert facts["vocabulary"] == sha256(vocabulary) and facts["images"] == "photographs"
    assert facts["convnet"]["file"] == PHOTO.pretrained
    net = caffe.Net(str(deploy_beside(weights, "highres")), caffe.TEST)
    missing = check_fits(net, weights)
    assert len(missing) == 13 and all(name.startswith("conv") for name in missing)
    assert len(Vocabulary.load(vocabulary)) <= net.params["embedding"][0].shape[0]
    assert weights.stat().st_size < 16e6


def test_a_cell_of_fc8_depends_on_a_square_of_cells_without_gaps(tmp_path):
    """fc6 sees one cell to each side; the taps of fc7 are two cells apart."""
    spec = caffe.NetSpec()
    inputs(spec, convnet=[1, PHOTO.convnet_channels, 15, 15])
    add_trunk(spec, PHOTO, convnet=spec.convnet)
    path = tmp_path / "trunk.prototxt"
    path.write_text(prototxt(one_phase("trunk", spec)))
    net = caffe.Net(str(path), caffe.TEST)
    net.blobs["convnet"].data[...] = 0
    before = net.forward()["fc8"].copy()
    net.blobs["convnet"].data[:, :, 7, 7] = 1
    difference = np.abs(net.forward()["fc8"] - before).max(axis=1)[0]
    expected = np.zeros((15, 15), bool)
    expected[4:11, 4:11] = True
    rounding = 1e-4 * difference.max()  # Winograd's, in the rest of a tile
    np.testing.assert_array_equal(difference > rounding, expected)


def inside(score, box):
    """Share of the pixels in ``box`` (x0, y0, x1, y1) that are in the mask of a response map."""
    x0, y0, x1, y1 = box
    return (score[y0:y1, x0:x1] > 0).mean()


@pytest.mark.slow
def test_it_finds_what_is_plain_to_see_in_photographs_that_it_was_not_trained_on():
    """The boxes were drawn by eye: most of each is, or is not, what the expression says."""
    if not CONVOLUTIONS.is_file():
        pytest.skip(f"no {CONVOLUTIONS}; make it with: python tools/download.py vgg16-convolutions")
    segmenter = CaffeSegmenter.load(FOLDER)
    segmenter.set_image(cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR))
    (person,) = segmenter.predict(["person"]).responses
    assert inside(person, (180, 60, 270, 180)) > 0.9  # face
    assert inside(person, (60, 300, 230, 420)) > 0.9  # suit
    assert inside(person, (430, 20, 510, 200)) < 0.2  # the shuttle
    segmenter.set_image(np.ascontiguousarray(data.chelsea()[:, :, ::-1]))
    (cat,) = segmenter.predict(["cat"]).responses
    assert inside(cat, (120, 60, 320, 250)) > 0.9
