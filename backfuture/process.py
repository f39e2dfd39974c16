"""What a process of ours settles with the operating system and with Django before it serves."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

# From <linux/prctl.h>.
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4


def end_with_parent(parent: int) -> None:
    """The kernel kills this process when its parent ends, however that ends. Linux only:
    elsewhere nothing happens, and a parent killed by force leaves its children behind."""
    if _prctl(PR_SET_PDEATHSIG, signal.SIGKILL) and os.getppid() != parent:
        os._exit(1)  # the parent was gone before the kernel was told


def hide_memory() -> None:
    """No core files; on Linux no debugger and no /proc reader of the same user either."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(PR_SET_DUMPABLE, 0)


def refuse_to_start_on_errors(status: int) -> None:
    """Runs Django's system checks, but not those of the database. Ends the process with
    `status` and every error's text when there is one."""
    from django.core import checks
    from django.db import connections

    errors = [m for m in checks.run_checks() if m.is_serious() and not m.is_silenced()]
    connections.close_all()  # a process forked from here must not share one
    if errors:
        sys.stderr.write("".join(f"{error}\n" for error in errors))
        sys.stderr.flush()
        raise SystemExit(status)


def _prctl(option: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) == 0)
