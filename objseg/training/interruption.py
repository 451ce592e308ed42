"""Signals that end training after the iteration in progress instead of in the midst of it."""

import signal
from collections.abc import Callable


class Interruption:
    """Catch the first SIGINT or SIGTERM within a ``with`` block; a second one acts as usual.

    ``number`` is that of the signal caught, None before; ``say`` gets a message for the user then.
    """

    def __init__(self, say: Callable[[str], None]):
        self.say, self.number = say, None

    def __enter__(self):
        self.previous = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind, value, trace):
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        self.number = number
        self.__exit__(None, None, None)
        self.say("finishing the iteration, then a snapshot; once more to stop without one")
