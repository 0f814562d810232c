"""Children that end when their parent does, however it ends. Linux only; elsewhere it does nothing."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with_parent(wanted: signal.Signals) -> Callable[[], None] | None:
    """A ``preexec_fn`` that asks the kernel to send ``wanted`` when the thread that started the child ends."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(wanted), 0, 0, 0)
        # The parent may have ended before the request was made.
        if os.getppid() != parent:
            os.kill(os.getpid(), wanted)

    return ask
