"""The BLAS and the kernels that Caffe computes with on the CPU."""


def caffes_blas() -> dict:
    """Return threadpoolctl's entry for Caffe's BLAS; numpy and scipy have their own.

    ``architecture`` is the processor that its kernels are for, ``num_threads`` how many threads a
    matrix product takes. Both are "unknown" where Caffe was built with another BLAS.
    """
    import caffe  # noqa: F401  loads it
    from threadpoolctl import threadpool_info

    for library in threadpool_info():
        if "scipy_openblas32" in library["filepath"]:
            return library
    return dict.fromkeys(("version", "architecture", "num_threads"), "unknown")


def describe_blas() -> str:
    """Return version, kernels and threads of Caffe's BLAS."""
    blas = caffes_blas()
    return (
        f"OpenBLAS {blas['version']}, kernels for {blas['architecture']}, "
        f"{blas['num_threads']} threads"
    )


def cpu_kernels() -> str:
    """Return the instructions of Caffe's own kernels: "AVX-512", "AVX2", "plain", or "stock".

    With "stock" all layers compute as BVLC's Caffe does; so does a Caffe of the user's.
    """
    import caffe

    return getattr(caffe, "cpu_kernels", lambda: "stock")()
