"""The command that makes a prepared data set, for messages."""

import json
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


def how_to_prepare(directory: Path) -> str:
    """Return the command that prepares the data set in ``directory``, again if there is an index.

    An index.json that does not name the folders that the set was made from does not help. A joined
    set is made again from its sources on, as one of them may be what has changed.
    """
    try:
        index = json.loads((directory / "index.json").read_bytes())
    except (OSError, ValueError):
        index = None
    if isinstance(index, dict):
        if (sources := index.get("sources")) and isinstance(sources, dict) and all(
                isinstance(entry, dict) and isinstance(entry.get("directory"), str)
                for entry in sources.values()):
            return _how_to_join(directory, index)
        if isinstance(index.get("raw"), str):
            words = ["--raw", _from_here(directory / index["raw"]), *index.get("options", ()),
                     "--out", str(directory)]
            if index.get("image_dir") is None:
                words.append("--annotations-only")
            tool = index.get("tool", "prepare_referit")
            return _command(tool, *words, *_words(directory, index))
    for name, command in KNOWN.items():
        if directory.resolve() == REPOSITORY / name:
            return command
    return (
        f"{_command('prepare_referit', '--raw', 'RAW_FOLDER', '--out', str(directory))}, where "
        "RAW_FOLDER holds images/, mask/, RealGames.txt and the lists "
        "split/referit_{train,val,test}_imlist.txt (see README.md)"
    )


def _how_to_join(directory: Path, index: dict) -> str:
    folders = [Path(_from_here(directory / entry["directory"]))
               for entry in index["sources"].values()]
    words = [word for folder in folders for word in ("--data", str(folder))]
    join = _command("join_datasets", *words, "--out", str(directory), *_words(directory, index))
    return " && ".join([*map(how_to_prepare, folders), join])


def _words(directory: Path, index: dict) -> list[str]:
    """Return the options that give the set the same words again."""
    if index.get("min_count") is None:
        return ["--vocabulary", str(directory / "vocabulary.txt")]
    if index["min_count"] != MIN_COUNT:
        return ["--min-count", str(index["min_count"])]
    return []


def _command(tool: str, *words: str) -> str:
    return shlex.join(["python", f"tools/{tool}.py", *words])


def _from_here(folder: Path) -> str:
    """Name ``folder`` from the working directory where it is in there, else absolutely."""
    folder = folder.resolve()
    inside = folder.is_relative_to(Path.cwd())
    return str(folder.relative_to(Path.cwd()) if inside else folder)
