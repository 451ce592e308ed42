"""Let ``sys.executable``, with which Python starts itself again, be the launcher."""

import os
import sys

sys.executable = sys._base_executable = os.path.join(sys.prefix, "bin", "python")
