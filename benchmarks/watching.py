"""A command that is run within a time, and what it took."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

GIB = 2**30


def watched(command: list[str], log: Path, minutes: float, threads: int) -> dict[str, Any]:
    """Run a command in a process group of its own, and end that where it takes too long.

    Returns:
        Its exit status (None where it was ended), seconds, CPU seconds, GB of its largest process
        and, looked at once a second, of all its processes together (shared pages counted once).
    """
    started, peak, late = time.perf_counter(), 0, False
    with log.open("wb") as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT,
                                 start_new_session=True,
                                 env=os.environ | {"OMP_NUM_THREADS": str(threads)})
        try:
            while not (waited := os.wait4(child.pid, os.WNOHANG))[0]:
                peak = max(peak, group_bytes(child.pid))
                if not late and time.perf_counter() - started > 60 * minutes:
                    late = True
                    os.killpg(child.pid, signal.SIGKILL)
                time.sleep(1)
        except BaseException:  # an interrupted benchmark leaves nothing running
            os.killpg(child.pid, signal.SIGKILL)
            raise
    used, child.returncode = waited[2], os.waitstatus_to_exitcode(waited[1])
    killed = late and child.returncode == -signal.SIGKILL  # else it was done a moment before
    return {"status": None if killed else child.returncode,
            "seconds": round(time.perf_counter() - started, 1),
            "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
            "largest_gb": round(used.ru_maxrss * 1024 / GIB, 2), "gb": round(peak / GIB, 2)}


def group_bytes(group: int) -> int:
    """Proportional set size of all processes of a group, now."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(folder.name)) != group:
                continue
            lines = (folder / "smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended meanwhile
            continue
        total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total
