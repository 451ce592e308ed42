"""Run Caffe's own C++ tests with the Caffe that is installed.

    python engine/check/cpp_tests.py FOLDER/caffe_tests.so [--gtest_filter=…]

engine/make_wheel.py --tests makes the library; the arguments are GoogleTest's. Tests that read
files find them only in the folder of Caffe's source.
"""

import ctypes
import sys

from caffe import _caffe
from caffe.command import call_main

if __name__ == "__main__":
    ctypes.PyDLL(_caffe.__file__, ctypes.RTLD_GLOBAL)  # the tests' library looks for Caffe there
    tests = ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)
    sys.exit(call_main(tests, "caffe_tests", *sys.argv[2:]))
