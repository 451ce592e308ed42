"""The command that makes a prepared data set, for messages."""

import shlex
from pathlib import Path

from objseg.data.expressions import MIN_COUNT
from objseg.files import REPOSITORY

KNOWN = {
    "data/demo": "python tools/make_demo_data.py && "
                 "python tools/prepare_referit.py --raw data/raw/demo --out data/demo",
    "data/referit": "python tools/download.py --all && python tools/prepare_referit.py",
}
"""How the data sets of the README are made."""

def how_to_prepare(directory: Path, index: object = None) -> str:
    """Return the command that prepares the data set in ``directory``, again if there is an index.

    ``index`` is the content of its index.json; one that does not name its raw folder does not help.
    """
    prepare = ["python", "tools/prepare_referit.py", "--raw"]
    if isinstance(index, dict) and isinstance(index.get("raw"), str):
        raw = (directory / index["raw"]).resolve()
        if raw.is_relative_to(Path.cwd()):
            raw = raw.relative_to(Path.cwd())
        words = [*prepare, str(raw), "--out", str(directory)]
        if index.get("image_dir") is None:
            words.append("--annotations-only")
        if index.get("min_count") is None:
            words += ["--vocabulary", str(directory / "vocabulary.txt")]
        elif index["min_count"] != MIN_COUNT:
            words += ["--min-count", str(index["min_count"])]
        return shlex.join(words)
    for name, command in KNOWN.items():
        if directory.resolve() == REPOSITORY / name:
            return command
    words = shlex.join([*prepare, "RAW_FOLDER", "--out", str(directory)])
    return (
        f"{words}, where RAW_FOLDER holds images/, mask/, RealGames.txt and the lists "
        "split/referit_{train,val,test}_imlist.txt (see README.md)"
    )
