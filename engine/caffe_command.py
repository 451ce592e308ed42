"""The caffe command, whose C++ main() is a function of the extension module."""

import ctypes
import signal
import sys

from caffe import _caffe


def call_main(library, *words):
    """Call main() of a ctypes ``library`` with ``words`` (str); return its exit status (int)."""
    words = [word.encode(errors="surrogateescape") for word in words]
    return library.main(len(words), (ctypes.c_char_p * (len(words) + 1))(*words))


def main():
    """Run caffe with this process's arguments; return its exit status (int)."""
    # Ctrl-C ends caffe where it does not handle it itself; Python's handler would wait for its end
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # PyDLL keeps the interpreter's lock, which Python layers expect to have
    return call_main(ctypes.PyDLL(_caffe.__file__), "caffe", *sys.argv[1:])
