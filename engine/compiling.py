"""Compile Caffe and pycaffe into one extension module, without CMake.

The headers of Boost and protobuf cost more than all the code. So a few files include the many: 90
source files are 6 translation units, which takes a third of the time.
"""

import platform
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from toolchain import ENGINE, Toolchain

UNITS = 6
"""Translation units of the C++ files, and of the CUDA files. Neighbours in the alphabet go into
different units: cudnn_conv_layer.cu and cudnn_deconv_layer.cu define the same kernel."""

BLAS = "axpby axpy copy asum dot gemm gemv scal".split()
"""Functions of BLAS that Caffe calls. PyPI's OpenBLAS has a prefix before their names."""

DEFINITIONS = (
    "-DNDEBUG", "-DCAFFE_VERSION=1.0.0", "-DWITH_PYTHON_LAYER", "-DBOOST_BIND_GLOBAL_PLACEHOLDERS",
    *(f"-Dcblas_{kind}{name}=scipy_cblas_{kind}{name}" for name in BLAS for kind in "sd"),
    "-Dopenblas_get_num_threads=scipy_openblas_get_num_threads",
)

LIBRARY_FOLDERS = ("scipy_openblas32/lib", "nvidia/cu13/lib", "nvidia/cudnn/lib")
"""Folders beside the package caffe where pip puts the libraries that it loads."""


class Compiler:
    """Compiles files of the patched ``source`` with ``tools`` into the new ``folder``.

    ``capabilities`` are the GPU's to compile for (list of str, see :func:`architectures`), in
    ``processes`` compilers at a time.
    """

    def __init__(self, tools: Toolchain, source: Path, folder: Path, capabilities: list[str],
                 processes: int):
        self.tools, self.source, self.folder = tools, source, folder
        self.capabilities, self.processes = capabilities, processes
        folder.mkdir()
        includes = (folder, source / "include", ENGINE, *tools.includes)
        self.flags = ["-std=c++17", "-O3", *DEFINITIONS,
                      "-DUSE_CUDNN" if tools.cuda else "-DCPU_ONLY",
                      *(f"-I{include}" for include in includes)]

    def generate_messages(self) -> bytes:
        """Make caffe.pb.h and caffe.pb.cc; return the descriptor of caffe.proto."""
        proto, out = self.source / "src/caffe/proto", self.folder / "caffe/proto"
        out.mkdir(parents=True)
        self.tools.run(["protoc", f"--proto_path={proto}", f"--cpp_out={out}",
                        f"--descriptor_set_out={out}/caffe.bin", proto / "caffe.proto"])
        return (out / "caffe.bin").read_bytes()

    def compile(self, files: list[Path], *options: str) -> list[Path]:
        """Compile ``files`` (.cpp, .cc, .cu) with more ``options``; return their object files.

        Raises CalledProcessError when one fails; those that run end first, no other begins.
        """
        objects = [self.folder / f"{file.name}.o" for file in files]
        print(f"compiling {len(files)} files", flush=True)
        pool = ThreadPoolExecutor(self.processes)
        try:
            jobs = [
                pool.submit(self.tools.run, [*self._command(file), *options, "-c", file, "-o", out])
                for file, out in zip(files, objects)
            ]
            for number, job in enumerate(jobs, 1):
                job.result()
                print(f"compiled {number} of {len(jobs)} files", flush=True)
        finally:
            pool.shutdown(cancel_futures=True)
        return objects

    def _command(self, file):
        if file.suffix != ".cu":
            # so that a square root is an instruction; nobody reads its errno
            return [*self.tools.cxx, *self.flags, "-fno-math-errno", "-fPIC", "-w"]
        # The linkage that kernels had before CUDA 13: Caffe's tests launch those of im2col.cu.
        linkage = [f"-{option}=false" for option in
                   ("static-global-template-stub", "device-entity-has-hidden-visibility")]
        return [*self.tools.nvcc, *self.flags, *architectures(self.capabilities), *linkage,
                "-Xcompiler=-fPIC", "-w", "--compress-mode=size"]

    def link(self, name: str, objects: list[Path], libraries: list[str], *options: str) -> Path:
        """Link ``objects`` and ``libraries``, named as for -l, to a shared library."""
        tools, out = self.tools, self.folder / name
        search = [*tools.libraries, tools.system]
        tools.run([*tools.cxx, "-shared", "-s", "-o", out, *objects, "-Wl,--as-needed", *options,
                   *(f"-L{folder}" for folder in search),
                   *(f"-Wl,-rpath-link,{folder}" for folder in search),
                   *(f"-l{library}" for library in libraries)])
        return out


def architectures(capabilities: list[str]) -> list[str]:
    """Return nvcc's options to compile for compute ``capabilities``.

    "90" is code for that one, "90+PTX" also PTX, which drivers compile for all newer cards.
    """
    options = []
    for capability in capabilities:
        number, _, ptx = capability.partition("+")
        options.append(f"-gencode=arch=compute_{number},code=sm_{number}")
        if ptx:
            options.append(f"-gencode=arch=compute_{number},code=compute_{number}")
    return options


def write_units(files: list[Path], folder: Path, name: str) -> list[Path]:
    """Write and return ``UNITS`` files that include ``files``."""
    units = []
    for number in range(UNITS):
        unit = folder / f"{name}{number}{files[0].suffix}"
        unit.write_text("".join(f'#include "{file}"\n' for file in files[number::UNITS]))
        units.append(unit)
    return units


def sources(folder: Path, ending: str, tests: bool = False) -> list[Path]:
    """Return Caffe's own source files, sorted, or those of its tests; without HDF5's."""
    return sorted(file for file in (folder / "src/caffe").rglob(f"*{ending}")
                  if ("test" in file.parts) == tests and "hdf5" not in file.name)


def build(compiler: Compiler) -> tuple[Path, bytes]:
    """Build the extension module; return its file and the descriptor of caffe.proto.

    The module also holds the main() of the caffe command, for engine/caffe_command.py.
    """
    source, tools = compiler.source, compiler.tools
    descriptor = compiler.generate_messages()
    if platform.machine() != "x86_64":
        print(f"no vector instructions of {platform.machine()} in engine/kernels: plain code alone")
    files = [*write_units(sources(source, ".cpp"), compiler.folder, "caffe"),
             *sorted((ENGINE / "kernels").glob("*.cpp")),
             compiler.folder / "caffe/proto/caffe.pb.cc", source / "python/caffe/_caffe.cpp",
             source / "tools/caffe.cpp"]
    libraries = ["boost_thread", "boost_filesystem", "glog", "gflags", "protobuf", "scipy_openblas",
                 "boost_python{}{}".format(*sys.version_info)]
    if tools.cuda:
        # first, since they take longest
        files[:0] = write_units(sources(source, ".cu"), compiler.folder, "cuda")
        libraries += [":libcudart.so.13", ":libcublas.so.13", ":libcurand.so.10", ":libcudnn.so.9"]
    objects = compiler.compile(files)
    # RPATH, not RUNPATH: what LD_LIBRARY_PATH names for other programs cannot disturb
    module = compiler.link(
        f"_caffe{sysconfig.get_config_var('EXT_SUFFIX')}", objects, libraries,
        "-Wl,--disable-new-dtags", *(f"-Wl,-rpath,$ORIGIN/../{name}" for name in LIBRARY_FOLDERS),
    )
    return module, descriptor


def build_tests(compiler: Compiler) -> Path:
    """Build Caffe's own C++ tests as a library for engine/check/cpp_tests.py.

    It takes Caffe from the extension module: what is tested is what is used.
    """
    source = compiler.source
    files = write_units(sources(source, ".cpp", tests=True), compiler.folder, "test")
    if compiler.tools.cuda:
        files += sources(source, ".cu", tests=True)
    objects = compiler.compile([*files, source / "src/gtest/gtest-all.cpp"], f"-I{source}/src")
    return compiler.link("caffe_tests.so", objects, [])
