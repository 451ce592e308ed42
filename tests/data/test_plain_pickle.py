"""Pickle files of strangers are read as data and cannot run anything."""

import os
import pickle
import shlex

import numpy as np
import pytest
from support.refer_data import pickled

from objseg.data.plain_pickle import read_pickle
from objseg.data.raw import AnnotationError


class Touch:
    """Pickles as a call that makes a file."""

    def __init__(self, path, call):
        self.path, self.call = path, call

    def __reduce__(self):
        if self.call is os.system:
            return os.system, (f"touch {shlex.quote(str(self.path))}",)
        return self.call, (f"open({str(self.path)!r}, 'w')",)


@pytest.mark.parametrize("call", [os.system, eval, exec])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_cannot_run_anything(tmp_path, call, protocol):
    path, touched = tmp_path / "refs(unc).p", tmp_path / "touched"
    content = pickle.dumps([{"ref_id": Touch(touched, call)}], protocol)
    pickle.loads(content)
    assert touched.exists()  # it would
    touched.unlink()
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match=f"asks for .*{call.__name__}, and only lists"):
        read_pickle(path)
    assert not touched.exists()


@pytest.mark.parametrize("content, message", [
    (b"(S'touch /tmp/x'\nios\nsystem\n.", "asks for os.system"),  # an old way to call
    (b"Pname\n.", "persistent"), (b"", "Ran out of input"),
    (pickled([{"ref_id": 1}])[:-5], "not a pickle file of plain values"),
    (b"GIF89a", "not a pickle file"),
    (pickle.dumps({1, 2}, 2), "asks for __builtin__.set"),
    (pickle.dumps([np.int64(3)]), "asks for numpy"),
    (b"\x80\x04\x8e" + (2**62).to_bytes(8, "little"), "not a pickle file"),
])
def test_other_pickles_are_refused(tmp_path, content, message):
    (tmp_path / "file.p").write_bytes(content)
    with pytest.raises(AnnotationError, match=f"file.p: .*{message}"):
        read_pickle(tmp_path / "file.p")
