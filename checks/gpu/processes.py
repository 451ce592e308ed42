"""Parts of a tool in processes of their own: one that fails is a result like another."""

import json
import os
import signal
import subprocess
import time

from objseg.caffe.devices import last_words


def run_part(words, answer, timeout, settings=None):
    """Run the command ``words``, which writes a dictionary as JSON to the Path ``answer``.

    ``settings`` are environment variables to add. Returns the dictionary, or {"failure": text} when
    it is not there after ``timeout`` seconds, with "took", its seconds. What the command has
    started ends with it.
    """
    answer.unlink(missing_ok=True)
    began = time.monotonic()
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **(settings or {})}, start_new_session=True,
    )
    try:
        _, said = process.communicate(timeout=timeout)
        whole = process.returncode == 0 and answer.is_file()
        result = json.loads(answer.read_text()) if whole else {"failure": last_words(said)}
    except subprocess.TimeoutExpired:
        result = {"failure": f"not done after {timeout} s (--timeout)"}
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # nothing is left of it
        process.wait()
    return {**result, "took": round(time.monotonic() - began, 1)}
