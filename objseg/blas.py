"""The BLAS that Caffe computes with."""

import os
import subprocess
import sys

from threadpoolctl import threadpool_info


def caffes_blas():
    """What threadpoolctl knows of Caffe's BLAS ({name: value}); numpy and scipy have their own.

    ``architecture`` is the processor that its kernels are for, ``num_threads`` how many threads a
    matrix product takes. Raises LookupError where Caffe was built with another BLAS.
    """
    import caffe  # noqa: F401  loads it

    for library in threadpool_info():
        if "scipy_openblas32" in library["filepath"]:
            return library
    raise LookupError("Caffe's BLAS is not scipy-openblas32")


def own_choice():
    """The kernels (str) that OpenBLAS takes for this processor when no variable names others."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("OPENBLAS_")}
    return subprocess.check_output(
        [sys.executable, "-c",
         "from objseg.blas import caffes_blas; print(caffes_blas()['architecture'])"],
        text=True, env=environment,
    ).strip()


def describe_blas():
    """Version, kernels and threads of Caffe's BLAS (str); notes kernels that a variable chose."""
    blas, chosen = caffes_blas(), own_choice()
    kernels = blas["architecture"]
    if kernels != chosen:
        kernels += f" (OPENBLAS_CORETYPE; OpenBLAS would choose {chosen})"
    return f"OpenBLAS {blas['version']}, kernels for {kernels}, {blas['num_threads']} threads"
