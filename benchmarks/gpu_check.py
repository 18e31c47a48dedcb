"""Check and measure lvae_core on one GPU, in a few minutes; see gpu/command.py.

python benchmarks/gpu_check.py [--minutes 8] [--device cuda] [--json gpu_check.json]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parents[1]))  # this checkout, without an installation

if __name__ == "__main__":
    from lvae_core.environment import end_quietly_on_ctrl_c

    end_quietly_on_ctrl_c()

from gpu.command import main

if __name__ == "__main__":
    sys.exit(main())
