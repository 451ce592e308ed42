"""The BLAS that Caffe computes with."""

import os
import subprocess
import sys

from threadpoolctl import threadpool_info

from objseg.files import REPOSITORY


def caffes_blas() -> dict:
    """Return threadpoolctl's entry for Caffe's BLAS; numpy and scipy have their own.

    ``architecture`` is the processor that its kernels are for, ``num_threads`` how many threads a
    matrix product takes. Both are "unknown" where Caffe was built with another BLAS.
    """
    import caffe  # noqa: F401  loads it

    for library in threadpool_info():
        if "scipy_openblas32" in library["filepath"]:
            return library
    return dict.fromkeys(("version", "architecture", "num_threads"), "unknown")


def own_choice() -> str:
    """Return the kernels that OpenBLAS takes for this processor when no variable names others."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("OPENBLAS_")}
    return subprocess.check_output(
        [sys.executable, "-c",
         "from objseg.caffe.blas import caffes_blas; print(caffes_blas()['architecture'])"],
        text=True, env=environment, cwd=REPOSITORY,
    ).strip()


def describe_blas() -> str:
    """Return version, kernels and threads of Caffe's BLAS; note kernels that a variable chose."""
    blas, chosen = caffes_blas(), own_choice()
    kernels = blas["architecture"]
    if kernels != chosen:
        kernels += f" (OPENBLAS_CORETYPE; OpenBLAS would choose {chosen})"
    return f"OpenBLAS {blas['version']}, kernels for {kernels}, {blas['num_threads']} threads"
