"""Records the scenes anew: `python -m tests.with_sim.recorded`, with names for some of them."""

from __future__ import annotations

import sys

from .playing import ANSWERS, Stage
from .scenes import SCENES

with Stage() as stage:
    for scene in SCENES:
        if scene.name in sys.argv[1:] or not sys.argv[1:]:
            (ANSWERS / f"{scene.name}.txt").write_text(stage.play(scene), newline="")
