"""The caffe command, whose C++ main() is a function of the extension module."""

import ctypes
import signal
import sys

from caffe import _caffe


def main():
    """Run caffe with this process's arguments; returns its exit status (int)."""
    # Ctrl-C ends caffe where it does not handle it itself; Python's handler would wait for its end
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    words = [word.encode(errors="surrogateescape") for word in ["caffe", *sys.argv[1:]]]
    arguments = (ctypes.c_char_p * (len(words) + 1))(*words)
    # PyDLL keeps the interpreter's lock, which Python layers expect to have
    return ctypes.PyDLL(_caffe.__file__).main(len(words), arguments)
