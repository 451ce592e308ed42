"""Run Caffe's own C++ tests with the Caffe that is installed.

    python engine/check/cpp_tests.py FOLDER/caffe_tests.so [--gtest_filter=…]

engine/make_wheel.py --tests makes the library; the arguments are GoogleTest's. Tests that read
files find them only in the folder of Caffe's source.
"""

import ctypes
import sys

from caffe import _caffe

if __name__ == "__main__":
    ctypes.PyDLL(_caffe.__file__, ctypes.RTLD_GLOBAL)  # the tests' library looks for Caffe there
    words = [word.encode() for word in sys.argv[1:]]
    words[0] = b"caffe_tests"
    arguments = (ctypes.c_char_p * (len(words) + 1))(*words)
    sys.exit(ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL).main(len(words), arguments))
