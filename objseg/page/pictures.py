"""The pictures that people ask about, and the one net that answers."""

import io
import secrets
import warnings
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from PIL import Image

from objseg.data.images import ImageError, decode_image
from objseg.errors import UserError
from objseg.geometry import Placement, response_in_window, response_on_image
from objseg.methods.segmenter import Prepared, Segmenter

MAX_BYTES = 25 * 10**6
"""Size of the largest file that is taken."""

MAX_PIXELS = 50 * 10**6
"""Pixels of the largest picture that is decoded."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""What every browser shows, by Pillow's names."""

PATIENCE = 30.0
"""Seconds that a request waits for the net."""


class UnknownPictureError(UserError):
    """A picture that the server does not have, or no more."""


class BusyError(UserError):
    """More work than the net could do in time."""


class Pictures:
    """The ``kept`` pictures that were used last, each as the features that a net gives of it.

    ``open_segmenter`` returns the :class:`objseg.methods.segmenter.Segmenter`. It is called, and
    everything else is done, in a single thread: Caffe's device belongs to a thread, and at no time
    is more than one picture decoded. The methods may be called from any thread; they raise
    BusyError after ``patience`` seconds.
    """

    def __init__(
        self, open_segmenter: Callable[[], Segmenter], kept: int, patience: float = PATIENCE
    ):
        self.kept, self._patience = kept, patience
        self._prepared: OrderedDict[str, Prepared] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, "net")
        self._segmenter = self._thread.submit(open_segmenter).result()
        self.vocabulary = self._segmenter.vocabulary

    def add(self, data: bytes) -> tuple[str, Placement]:
        """Decode a picture and run the trunk; returns its name and its Placement.

        The picture used longest ago is forgotten where there are too many. Raises ImageError.
        """
        return self._do(self._add, data)

    def response(self, name: str, text: str) -> np.ndarray:
        """Return the response map for ``text`` at the net's resolution, float32 (h, w).

        It covers the picture, not the padding. Raises UnknownPictureError.
        """
        return self._do(self._response, name, text, response_in_window)

    def mask(self, name: str, text: str, threshold: float) -> bytes:
        """Return a PNG in the picture's own size: 255 where the response exceeds ``threshold``.

        Raises UnknownPictureError.
        """
        return self._do(self._mask, name, text, threshold)

    def close(self) -> None:
        """Forget everything, and end the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _do(self, task, *arguments):
        future = self._thread.submit(task, *arguments)
        try:
            return future.result(self._patience)
        except TimeoutError:
            future.cancel()
            raise BusyError("The server is busy; try again in a moment.") from None

    def _add(self, data):
        prepared = self._segmenter.prepare(decode(data))
        self._segmenter.run_trunk(prepared)
        name = secrets.token_urlsafe(16)
        self._prepared[name] = prepared
        while len(self._prepared) > self.kept:
            self._prepared.popitem(last=False)
        return name, prepared.placement

    def _response(self, name, text, mapped):
        if name not in self._prepared:
            raise UnknownPictureError("The server has forgotten this picture; send it again.")
        self._prepared.move_to_end(name)
        prepared = self._prepared[name]
        (response,) = self._segmenter.net_responses_of(prepared, [text])
        return mapped(response, prepared.placement)

    def _mask(self, name, text, threshold):
        mask = self._response(name, text, response_on_image) > threshold
        _, content = cv2.imencode(".png", mask.astype(np.uint8) * 255)
        return content.tobytes()


def decode(data: bytes) -> np.ndarray:
    """Decode a picture of a stranger, turned as its EXIF orientation says; BGR uint8 (H, W, 3).

    Its size is read first, so that a small file cannot claim much memory. Raises ImageError.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as header:
                width, height = header.size
    except Image.DecompressionBombError:
        raise too_many_pixels() from None
    except Exception as error:  # a damaged header makes Pillow raise nearly anything
        raise ImageError(
            "This is not a picture, or a damaged one; JPEG, PNG, WebP and BMP are read."
        ) from error
    if width * height > MAX_PIXELS:
        raise too_many_pixels()
    return decode_image(data, "The picture", oriented=True)


def too_many_pixels() -> ImageError:
    """Return the error for a picture beyond :data:`MAX_PIXELS`."""
    return ImageError(
        f"The picture has more than {MAX_PIXELS // 10**6} million pixels; make it smaller."
    )
