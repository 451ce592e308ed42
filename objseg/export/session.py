"""Opening an ONNX file in onnxruntime."""

import os
from pathlib import Path

from objseg.errors import UserError

REMEDY = "write it with: python tools/export_onnx.py --out FILE, or delete it in a cache"


def open_session(path: str | Path, threads: int | None = None):
    """Open an ONNX file as an onnxruntime.InferenceSession on the CPU.

    ``threads`` is the number of threads, None for one per core. onnxruntime sends no telemetry,
    unless ORT_DISABLE_TELEMETRY is set to 0. Raises UserError where there is no such file, or it
    cannot be opened.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when onnxruntime is first imported
    import onnxruntime

    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; {REMEDY}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; warnings are about the file's own make
    options.intra_op_num_threads = threads or 0
    # int8 weights become float32 once, when the file is opened, and not in every run
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's own classes have no other base
        raise UserError(f"{path}: onnxruntime cannot open it ({error}); {REMEDY}") from error
