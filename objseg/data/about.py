"""Facts about a data set that stand beside every figure: where pictures and words come from."""

import json
from pathlib import Path
from typing import NamedTuple

from objseg.data.raw import GAMES, Annotations, image_of
from objseg.errors import UserError
from objseg.files import digest

KNOWN = {"images": ("drawn", "photographs"), "expressions": ("people", "program")}

REFERIT_TEST = "5016b3fb9995d576570c0f57deeda6ff4e0492aaa762bfc348678fb4c90b12ae"
"""The :func:`_digest` of the 10,000 image ids of ReferIt's test split, in their order."""

REFERIT_TEST_WORDS = "27b7da7bfa39572a6afccf09e6c545b66c97fed84a1a7d71937111f116d7ff7b"
"""The :func:`_digest` of the regions and expressions of that split, in the authors' files."""


class About(NamedTuple):
    """Facts about a data set that every report of it tells; None where nobody has said.

    ``images`` are "drawn" or "photographs", ``expressions`` those of "people" or of a "program",
    ``referit`` whether its test split is that of ReferIt, the paper's data set, and ``benchmark``
    the data set whose published results are about the same, such as "refcoco (unc)". In a joined
    set whose sources differ, the first two name each, as "drawn and photographs".
    """

    images: str | None = None
    expressions: str | None = None
    referit: bool = False
    benchmark: str | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """List what stands beside every figure of this data set."""
        notes = []
        if self.images == "drawn":
            notes.append("synthetic images")
        elif "drawn" in (self.images or ""):
            notes.append("some images synthetic")
        if self.expressions == "program":
            notes.append("expressions made by a program")
        elif "program" in (self.expressions or ""):
            notes.append("some expressions made by a program")
        return tuple(notes)


def join_about(sources: list[About]) -> About:
    """Return the facts about a data set joined of ``sources``."""
    def join(facts):
        names = [name for fact in facts for name in (fact or "unknown").split(" and ")]
        joined = " and ".join(dict.fromkeys(names))
        return None if joined == "unknown" else joined

    return About(join(about.images for about in sources),
                 join(about.expressions for about in sources))


def read_about(raw: Path, annotations: Annotations) -> About:
    """Return the facts about the raw data set in the folder ``raw``.

    ReferIt is known by its test split. Any other folder may hold an about.json such as
    ``{"images": "photographs", "expressions": "program"}``, which make_demo_data.py writes, too.
    Raises UserError for another content.
    """
    if _is_referit(annotations):
        return About("photographs", "people", referit=True)
    return read_facts(raw)


def read_facts(raw: Path) -> About:
    """Return the facts in the file about.json of a folder; About() where there is none."""
    path = raw / "about.json"
    if not path.is_file():
        return About()
    try:
        facts = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path}: not a JSON file ({error})") from error
    if not isinstance(facts, dict) or \
            any(value not in KNOWN.get(key, ()) for key, value in facts.items()):
        raise UserError(f"{path}: {facts}; expected some of {KNOWN}")
    return About(**facts)


def _is_referit(annotations: Annotations) -> bool:
    test = annotations.splits["test"]
    if digest(test) != REFERIT_TEST:
        return False
    if annotations.source == GAMES:  # its checksum is not known: the site is gone
        return True
    members = set(test)
    words = {r: texts for r, texts in annotations.expressions.items() if image_of(r) in members}
    return digest(sorted(words.items())) == REFERIT_TEST_WORDS
