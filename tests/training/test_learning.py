"""Training learns: both stages fit one drawn scene, each expression its own region."""

from dataclasses import replace

import numpy as np
import pytest
from support.commands import run_tool
from support.training import run_training

from models.sizes import SLIM
from objseg.data.dataset import Dataset
from objseg.methods.ours import CaffeSegmenter
from objseg.training.snapshots import Snapshots

EXPRESSIONS = ("sky at the top", "grass")
"""Of scene 1 at seed 3; the two regions do not overlap, so that the words have to be read."""

SWITCHES = ("--size", "slim", "--batch", 2, "--expressions-per-image", 2, "--workers", 1,
            "--validation-images", 0, "--foreground", 1)
"""Foreground weighs as much as background: what is measured is not the paper's trade-off."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Prepare one scene for training with two expressions; a Dataset."""
    folder = tmp_path_factory.mktemp("scene")
    run_tool("tools/make_demo_data.py", "--out", folder / "raw", "--train", 1, "--val", 1,
             "--test", 1, "--seed", 3)
    lines = (folder / "raw" / "RealGames.txt").read_text().splitlines(keepends=True)
    kept = [line for line in lines if line[0] != "1" or line.split("~")[1] in EXPRESSIONS]
    (folder / "raw" / "RealGames.txt").write_text("".join(kept))
    run_tool("tools/prepare_referit.py", "--raw", folder / "raw", "--out", folder / "data")
    return Dataset(folder / "data")


def learn_fast():
    """Let a model learn in few iterations: at a high rate that does not fall."""
    for stage in ("lowres", "highres"):
        SLIM.recipes[stage] = replace(SLIM.recipes[stage], rate=0.005, step=10**6, decay=0)


def training_iou(scene, out, stage):
    """Overall IoU of a stage's newest weights on what they were trained on."""
    segmenter = CaffeSegmenter(
        out / "prototxt" / f"deploy_{stage}.prototxt", Snapshots(out, stage).newest_weights(),
        scene.vocabulary,
    )
    (image,) = scene.images("train")
    pixels, masks = scene.pixels_and_masks(image)
    expressions = [region.expressions[0] for region in image.regions]
    assert sorted(expressions) == sorted(EXPRESSIONS)
    segmenter.set_image(pixels)
    found = segmenter.predict(expressions).masks
    true = np.stack([masks[region.id] for region in image.regions])
    return (true & found).sum() / (true | found).sum()


@pytest.mark.slow
def test_both_stages_fit_the_scene_that_they_are_trained_on(scene, tmp_path):
    """Stage 1 has cells of 32 x 32 pixels of the input, stage 2 learns the edges."""
    out, iou = tmp_path / "out", {}
    for stage, iterations in (("lowres", 60), ("highres", 60)):
        code, printed = run_training(
            out, "--model", stage, "--data", scene.directory, "--iterations", iterations,
            *SWITCHES, sabotage=learn_fast,
        )
        assert code == 0, printed
        iou[stage] = training_iou(scene, out, stage)
    print(iou)
    assert iou["lowres"] > 0.7 and iou["highres"] > 0.9
