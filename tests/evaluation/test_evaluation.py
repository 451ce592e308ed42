"""Evaluation on a small data set: numbers, interruption, workers, changed files."""

import json
import os
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from support.halves import EXPRESSIONS, make_dataset, run

from models.sizes import SIZES
from objseg.data.dataset import Dataset, DatasetError
from objseg.data.images import ImageError
from objseg.data.masks import save_masks
from objseg.errors import UserError
from objseg.evaluation.evaluate import Request, evaluate
from objseg.evaluation.journal import Journal, claimed
from objseg.files import REPOSITORY, digest, sha256
from objseg.methods.configuration import configure, conventional_prototxt
from objseg.methods.method import Configuration, Method
from objseg.methods.table1 import METHODS
from objseg.parallel.prefetch import WorkerError

SLIM = SIZES["slim"]


@pytest.fixture
def dataset(tmp_path):
    """Five images of two regions, the left half with three expressions, the top half with one."""
    return make_dataset(tmp_path / "referit")


def as_found(image, findings):
    return ((mask, None) for mask in findings)


@pytest.fixture
def fake(monkeypatch):
    """A method that finds the left half, and records (image height, expressions) of its calls."""
    calls = []

    def masks(image, expressions, image_id):
        calls.append((image.shape[0], list(expressions)))
        mask = np.zeros(image.shape[:2], bool)
        mask[:, :30] = True
        yield from [(mask, None)] * len(expressions)

    monkeypatch.setitem(
        METHODS, "fake", Method("fake", "fake", (1, 2, 3, 4, 5, 6), lambda _: masks, as_found)
    )
    return calls


def journal_of(folder):
    (path,) = folder.glob("*.jsonl")
    return path


def test_numbers_order_and_one_call_an_image(dataset, fake, tmp_path):
    result = run(dataset, tmp_path)
    heights = [40, 44, 48, 52, 56]
    assert fake == [(height, list(EXPRESSIONS)) for height in heights]
    assert [sample.region.id for sample in result.samples[:5]] == ["0_1"] * 3 + ["0_2", "1_1"]
    assert result.unions.tolist() == [a for h in heights for a in [30 * h] * 3 + [45 * h]]
    assert result.intersections.tolist() == [a for h in heights for a in [30 * h] * 3 + [15 * h]]


def test_stopped_evaluation_goes_on(dataset, fake, tmp_path, monkeypatch):
    whole = run(dataset, tmp_path / "whole")
    honest = METHODS["fake"].open(None)

    def stops(*arguments):
        if len(fake) == 3:
            raise KeyboardInterrupt
        return honest(*arguments)

    del fake[:]
    monkeypatch.setitem(METHODS, "fake", Method("fake", "fake", (), lambda _: stops, as_found))
    with pytest.raises(KeyboardInterrupt):
        run(dataset, tmp_path / "torn")
    monkeypatch.setitem(METHODS, "fake", Method("fake", "fake", (), lambda _: honest, as_found))
    resumed = run(dataset, tmp_path / "torn")
    assert [height for height, _ in fake] == [40, 44, 48, 52, 56]
    np.testing.assert_array_equal(resumed.intersections, whole.intersections)

    del fake[:]
    run(dataset, tmp_path / "torn")
    assert fake == []


@pytest.mark.parametrize("cut", [1, 7, 30])
def test_torn_last_line_is_dropped(dataset, fake, tmp_path, cut):
    whole = run(dataset, tmp_path)
    path = journal_of(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    del fake[:]
    again = run(dataset, tmp_path)
    assert [height for height, _ in fake] == [56]
    np.testing.assert_array_equal(again.unions, whole.unions)
    assert all(json.loads(line) for line in path.read_text().splitlines())


@pytest.mark.parametrize("damaged", [
    b"\0" * 40, b"[]", b"7", b'{"image": "1"}', b'{"image": "1", "found": [[1, 2]], "tally": {}}',
    b'{"image": "1", "found": 3, "tally": {}}', b'{"image": [], "found": [], "tally": {}}',
])
def test_damaged_line_is_scored_again(dataset, fake, tmp_path, damaged):
    whole = run(dataset, tmp_path)
    path = journal_of(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], damaged + b"\n", *lines[3:]]))
    del fake[:]
    again = run(dataset, tmp_path)
    np.testing.assert_array_equal(again.boxes, whole.boxes)
    assert [height for height, _ in fake] == [44]


def test_limit_takes_the_first_samples_and_more_can_follow(dataset, fake, tmp_path):
    assert [len(run(dataset, tmp_path, limit=n).samples) for n in (6, 3, 20)] == [6, 3, 20]
    # The second image was cut after two samples, and is scored once more when all are asked for.
    assert [height for height, _ in fake] == [40, 44, 44, 48, 52, 56]


def test_key_changes_with_everything_that_changes_the_numbers(tmp_path, monkeypatch):
    names = ("deploy", "weights", "vocabulary")
    for name in names:
        (tmp_path / name).write_text(name)
    files = [tmp_path / name for name in names]
    first = Configuration("highres", *files).identity()
    keys = {
        digest(first),
        digest(Configuration("lowres", *files).identity()),
    }
    for path in files:
        path.write_text("changed")
        keys.add(digest(Configuration("highres", *files).identity()))
    keys.add(digest(Configuration("highres", *files, gpu=0).identity()))
    monkeypatch.setenv("CAFFE_STOCK_CPU", "1")
    stock = digest(Configuration("highres", *files).identity())
    assert stock in keys and len(keys) == 6  # a GPU computes no Winograd of ours, either
    assert digest(dict(reversed(list(first.items())))) == digest(first)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("content", [None, b"", b"cut"])
def test_an_unreadable_picture_is_an_error_before_anything_is_scored(
    dataset, fake, tmp_path, before, content
):
    if before:
        run(dataset, tmp_path)
        del fake[:]
    path = dataset.sources[""].images / "4.jpg"
    whole = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content and whole[:300])
    with pytest.raises(ImageError, match=r"4\.jpg"):
        run(dataset, tmp_path)
    assert fake == []
    path.write_bytes(whole)
    assert len(run(dataset, tmp_path).samples) == 20


@pytest.mark.parametrize("before", [False, True])
def test_a_changed_picture_is_refused_by_name(dataset, fake, tmp_path, before):
    if before:
        run(dataset, tmp_path)
    cv2.imwrite(str(dataset.sources[""].images / "1.jpg"), np.zeros((44, 60, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"1\.jpg: another picture.*prepare_referit\.py"):
        run(dataset, tmp_path)


@pytest.mark.parametrize("before", [False, True])
def test_changed_masks_are_refused_by_name(dataset, fake, tmp_path, before):
    if before:
        run(dataset, tmp_path)
    masks = dataset.directory / "masks"
    (masks / "1.npz").write_bytes((masks / "2.npz").read_bytes())
    with pytest.raises(DatasetError, match=r"masks/1\.npz.*prepare_referit\.py"):
        run(dataset, tmp_path)


@pytest.mark.parametrize("what", ["sha256", "masks"])
def test_results_of_other_pictures_or_masks_are_not_used(dataset, fake, tmp_path, what):
    run(dataset, tmp_path)
    index = json.loads((dataset.directory / "index.json").read_text())
    if what == "sha256":
        path = dataset.sources[""].images / "3.jpg"
        cv2.imwrite(str(path), np.zeros((52, 60, 3), np.uint8))
        index["images"]["3"]["sha256"] = sha256(path)
    else:
        masks = dataset.masks(dataset.images("test")[3])
        masks["3_1"][:] = False
        index["images"]["3"]["masks"] = save_masks(
            dataset.directory / "masks" / "3.npz", masks, (52, 60)
        )
    (dataset.directory / "index.json").write_text(json.dumps(index))
    del fake[:]
    changed = run(Dataset(dataset.directory), tmp_path)
    assert [height for height, _ in fake] == [40, 44, 48, 52, 56]
    assert (changed.intersections[12] == 0) == (what == "masks")


def test_nothing_to_score_is_an_error(dataset, fake, tmp_path):
    with pytest.raises(UserError, match="the split test has no sample"):
        run(dataset, tmp_path, limit=0)


def test_workers_find_the_same(dataset, tmp_path):
    one, three = (
        run(dataset, tmp_path / str(workers), "whole-image", workers=workers)
        for workers in (1, 3)
    )
    assert one.samples == three.samples
    np.testing.assert_array_equal(one.intersections, three.intersections)
    np.testing.assert_array_equal(one.unions, three.unions)


def test_a_dead_worker_is_an_error_and_its_results_are_kept(dataset, fake, tmp_path, monkeypatch):
    def dies(image, expressions, image_id):
        if image_id == "2":
            os._exit(9)
        yield from [(np.zeros(image.shape[:2], bool), None)] * len(expressions)

    monkeypatch.setitem(METHODS, "fake", Method("fake", "fake", (), lambda _: dies, as_found))
    with pytest.raises(WorkerError, match="exit code 9"):
        run(dataset, tmp_path, workers=2)
    assert len(journal_of(tmp_path).read_text().splitlines()) == 3  # what it is of, two images


@pytest.mark.slow
def test_a_second_evaluation_keeps_out_of_the_folder(dataset, tmp_path):
    with claimed(tmp_path / "out"):
        done = tool("--data", dataset.directory, "--method", "whole-image", "--out",
                    tmp_path / "out")
        assert done.returncode == 1
        assert re.search("error: .*/out: another evaluation writes there.*--out", done.stderr)
        assert os.listdir(tmp_path / "out") == ["lock"]
    done = tool("--data", dataset.directory, "--method", "whole-image", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_net_gives_the_same_with_one_and_two_workers(dataset, tmp_path):
    caffe = pytest.importorskip("caffe")
    deploy = conventional_prototxt(SLIM) / "deploy_highres.prototxt"
    caffe.set_random_seed(3)
    net = caffe.Net(str(deploy), caffe.TEST)
    net.params["mlp_l2"][1].data[...] = 0.01
    net.save(str(tmp_path / "random.caffemodel"))
    found = []
    configuration = configure("highres", SLIM, dataset, tmp_path / "random.caffemodel")
    for workers in (1, 2):
        ((result,),) = evaluate(
            Request(dataset), [configuration], tmp_path / str(workers), workers
        )
        found.append(np.stack([result.intersections, result.unions]))
    np.testing.assert_array_equal(found[0], found[1])


def test_journal_says_what_it_is_of(tmp_path):
    with Journal(tmp_path, {"method": "fake"}) as journal:
        journal.append("7", [[1, 2, 0, 0, 3, 3]], {"odd": 1})
    assert json.loads(journal_of(tmp_path).read_text().splitlines()[0]) == {"method": "fake"}
    with Journal(tmp_path, {"method": "fake"}) as journal:
        assert journal.found == {"7": [[1, 2, 0, 0, 3, 3]]}
        assert journal.tallies == {"7": {"odd": 1}}


def tool(*arguments):
    return subprocess.run(
        [sys.executable, REPOSITORY / "tools" / "eval_referit.py", *arguments],
        capture_output=True, text=True,
    )


@pytest.mark.slow
def test_command_line(dataset, tmp_path):
    done = tool("--data", dataset.directory, "--method", "whole-image", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "20 samples scored" in done.stdout
    files = {"results.json", "samples.csv", "report.html"}
    assert files <= set(os.listdir(tmp_path / "out"))
    before = {name: (tmp_path / "out" / name).read_bytes() for name in files}
    done = tool("--data", dataset.directory, "--method", "whole-image", "--out", tmp_path / "out",
                "--limit", "7")
    assert "limited to the first 7: 7 samples scored" in done.stdout
    assert files <= set(os.listdir(tmp_path / "out" / "first7"))
    limited = (tmp_path / "out" / "first7" / "report.html").read_text()
    assert "limited to the first 7 samples" in limited
    assert before == {name: (tmp_path / "out" / name).read_bytes() for name in files}


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("mpirun"), reason="Open MPI is not installed")
def test_other_ranks_end_while_the_first_draws(tmp_path):
    (tmp_path / "script.py").write_text(
        "import os, time\n"
        "from objseg.parallel.ranks import open_ranks\n"
        "ranks = open_ranks(True)\n"
        "pids = ranks.communicator.allgather(os.getpid())\n"
        "ranks.end()\n"
        "if ranks.rank == 0:\n"
        "    until = time.monotonic() + 60\n"
        "    while os.path.exists(f'/proc/{pids[1]}') and time.monotonic() < until:\n"
        "        time.sleep(0.1)\n"
        "    print('alone', time.monotonic() < until)\n"
    )
    done = subprocess.run(
        ["mpirun", "--oversubscribe", "-n", "2", sys.executable,
         tmp_path / "script.py"],
        capture_output=True, text=True, timeout=120, cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.stdout == "alone True\n", done.stderr


@pytest.mark.slow
def test_rows_that_lack_a_file_do_not_keep_the_others_away(dataset, tmp_path):
    words = ("--data", dataset.directory, "--out", tmp_path, "--weights", "highres=/no/file",
             "--weights", tmp_path / "none", "--method", "all")
    (tmp_path / "none").mkdir()
    done = tool(*words)
    assert done.returncode == 0, done.stderr
    for method in METHODS.values():
        if method.name != "whole-image":
            assert f"left out: {method.title}: /" in done.stderr
            assert re.search(f"not evaluated.*{re.escape(method.title)}", done.stdout)
    outcome = json.loads((tmp_path / "results.json").read_text())
    assert [method["method"] for method in outcome["methods"]] == ["whole-image"]
    assert "/no/file does not exist" in outcome["unavailable"]["Ours (high resolution)"]
    assert "not evaluated: SCRC bbox: /" in (tmp_path / "report.html").read_text()
    assert tool(*words, "--method", "highres").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--data", "/nowhere"], 1, "prepare_referit.py"),
        (["--data", "DATA", "--weights", "/no/a.caffemodel"], 1, "tools/train.py --model highres"),
        (["--data", "DATA", "--method", "all", "--weights", "f"], 1, "which model is it for"),
        (["--data", "DATA", "--weights", "lowres=f"], 1, "uses the model lowres is chosen"),
        (["--data", "DATA", "--method", "whole-image", "--split", "val"], 1, "no sample"),
        (["--data", "DATA", "--workers", "0"], 2, "expected an integer of at least 1"),
        (["--data", "DATA", "--method", "all", "--method", "scrc-bbox"], 1, "of the method scrc"),
        (["--method", "magic"], 2, "invalid choice"),
    ],
)
def test_command_line_refuses(dataset, tmp_path, arguments, status, message):
    arguments = [str(dataset.directory) if text == "DATA" else text for text in arguments]
    done = tool(*arguments, "--out", tmp_path)
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr
