"""The published counts, and which files are held to be those that were published."""

import pytest
from support.refer_data import ReferData

from objseg.data.dataset import Dataset
from objseg.data.prepare import prepare
from objseg.data.refer import Refer
from objseg.data.refer_counts import PUBLISHED, Count, describe_counts, is_published


@pytest.mark.parametrize("benchmark, total", [
    # the first from pyReferDemo.ipynb of the toolbox; the papers have the others, too
    ("refcoco (unc)", Count(50000, 19994, 142210)), ("refcoco+ (unc)", Count(49856, 19992)),
    ("refcocog (umd)", Count(49822, 25799)), ("refcoco (google)", Count(50000, None)),
])
def test_the_published_counts_add_up_to_the_published_totals(benchmark, total):
    for name, expected in total._asdict().items():
        if expected is not None:
            assert sum(getattr(count, name) for count in PUBLISHED[benchmark].values()) == expected


def test_only_the_published_counts_make_a_benchmark(tmp_path, monkeypatch):
    published = PUBLISHED["refcoco (unc)"]
    assert is_published("refcoco (unc)", published)
    assert not is_published("refcoco (unc)", {**published, "val": Count(3811, 1500, 10833)})
    assert not is_published("refcoco (unc)", {"val": published["val"]})
    assert not is_published("refclef (unc)", {})
    data = ReferData(tmp_path / "raw")

    def about():
        prepare(Refer(data.folder, "refcoco", "unc"), tmp_path / "set", workers=1)
        return Dataset(tmp_path / "set").about

    assert about().benchmark is None
    counts = Refer(data.folder, "refcoco", "unc").counts
    assert counts["train"] == Count(2, 2, 4) and counts["testB"] == Count(1, 1, 2)
    monkeypatch.setitem(PUBLISHED, "refcoco (unc)", counts)
    assert about().benchmark == "refcoco (unc)"
    (data.images / "COCO_train2014_000000000004.jpg").unlink()
    assert about().benchmark is None  # results would be about less


def test_counts_are_shown_beside_the_published_ones():
    whole = {split: count._replace(expressions=7)
             for split, count in PUBLISHED["refcocog (umd)"].items()}
    lines = describe_counts("refcocog (umd)", whole)
    assert lines[1].split() == ["train", "42,226", "42,226", "21,899", "21,899", "7", "-"]
    assert "the counts are the published ones" in lines
    lines = describe_counts("refcocog (umd)", {"val": Count(1, 1, 2)})
    assert any(line.split()[:5] == ["val", "1", "2,573", "1", "1,300"] for line in lines)
    assert any("not the published counts" in line for line in lines)
    assert "no published counts of refclef (unc)" in describe_counts("refclef (unc)", {})[-1]
