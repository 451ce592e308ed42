"""Join prepared data sets into one, which reads pictures and masks where its sources have them."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from objseg.data.about import join_about
from objseg.data.dataset import VERSION, Dataset, DatasetError, read_index
from objseg.data.expressions import MIN_COUNT, Vocabulary
from objseg.data.packing import PrepareError
from objseg.data.prepare import portable, remove_masks, write_index
from objseg.data.summary import count_shared_pictures


def join(
    directories: Iterable[str | Path], out: str | Path, vocabulary: Vocabulary | None = None,
    min_count: int = MIN_COUNT, overwrite: bool = False,
) -> dict:
    """Join the prepared data sets in ``directories`` into one in ``out`` and return its index.

    Its splits are those of the sources, one after the other. Nothing is copied or decoded: the
    index names the folders of the sources, whose pictures and masks are held against their
    checksums when they are read. The sources of a source that is itself joined become those of the
    new set. ``vocabulary`` and ``min_count`` are those of :func:`objseg.data.prepare.prepare`.

    Raises DatasetError when a source is broken, PrepareError when sources do not fit together or,
    without ``overwrite``, when ``out`` holds something other than a join of the same sources.
    """
    out = Path(out)
    datasets = [Dataset(directory) for directory in directories]
    index = {
        "version": VERSION,
        "sources": _join_sources(datasets, out),
        "about": join_about([dataset.about for dataset in datasets])._asdict(),
        "min_count": None if vocabulary else min_count,
        "images": {}, "regions": {}, "skipped": [],
    }
    if out.exists() and any(out.iterdir()) and not _is_join_of(index["sources"], out):
        if not overwrite:
            raise PrepareError(
                f"{out}: holds something other than a join of these data sets; choose another "
                "folder with --out, or replace it with --overwrite"
            )
        remove_masks(out, kept=())
    notes = Counter()
    for dataset in datasets:
        notes += _add(dataset, index)
    notes["picture in more than one split"] = count_shared_pictures(index)
    write_index(out, index, " and ".join(index["sources"]), vocabulary, notes)
    return index


def _join_sources(datasets: list[Dataset], out: Path) -> dict[str, dict]:
    """Return the ``sources`` of the index; raises PrepareError for sets that do not fit."""
    if len(datasets) < 2:
        raise PrepareError("expected at least two prepared data sets to join: --data A --data B")
    for dataset in datasets:
        if dataset.annotations_only != datasets[0].annotations_only:
            raise PrepareError(
                f"of {datasets[0].directory} and {dataset.directory} one has images and masks, the "
                "other was prepared with --annotations-only; prepare both alike"
            )
    sources = {}
    for dataset in datasets:
        for name, source in dataset.sources.items():
            name = name or dataset.name
            if source.directory.resolve() == out.resolve():
                raise PrepareError(f"{out}: is one of the sources; choose another --out")
            if name in sources:
                raise PrepareError(
                    f"two sources are called {name}: {sources[name].directory} and "
                    f"{source.directory}; name each once, rename the folder of one if they differ"
                )
            sources[name] = source
    return {
        name: {"directory": portable(source.directory, out),
               "image_dir": source.images and portable(source.images, out)}
        for name, source in sources.items()
    }


def _is_join_of(sources: dict[str, dict], out: Path) -> bool:
    try:
        return read_index(out).get("sources") == sources
    except DatasetError:
        return False


def _add(dataset: Dataset, index: dict) -> Counter:
    """Add the content of ``dataset`` to ``index``; returns the notes of its summary."""
    added = read_index(dataset.directory)
    if shared := [image for image in added["images"] if image in index["images"]]:
        other = index["images"][shared[0]]["source"]
        raise PrepareError(
            f"image {shared[0]} is in {other} and in {dataset.name} ({len(shared)} images are); "
            "rename those of one, with their masks, lists and expressions, and prepare it again"
        )
    for image, entry in added["images"].items():
        index["images"][image] = {"source": dataset.name, **entry}
    index["regions"] |= added["regions"]
    index["skipped"] += added["skipped"]
    return Counter(added["summary"]["notes"])
