"""How long readers wait when the daemon is killed: from the signal to the first answered open, with
the emulator as STS. Beside it the time from nothing to the same, in the same run."""

import os
import signal
import statistics
import time
from pathlib import Path

from machine import say
from roles import rss_megabytes
from stage import settings, stop, unmount

KILLS = 50

# A daemon that is killed sooner over and over is taken for one that cannot be kept alive.
STABLE_SECONDS = 1.2

# A start from nothing takes as long each time; a few tell enough.
STARTS = 10


def measure(stage, sts):
    environment = {**sts, **settings(1)}
    starts = []
    for turn in range(STARTS):
        mountpoint = stage.directory / f"cold-{turn}"
        begin = time.monotonic()
        daemon = stage.mount([stage.programs["credmount"], mountpoint], [mountpoint], environment)
        (mountpoint / "credentials").read_bytes()
        starts.append(time.monotonic() - begin)
        unmount(mountpoint)
        stop(daemon)

    mountpoint = stage.directory / "supervised"
    command = [stage.programs["credmount"], "--supervise", mountpoint]
    supervisor = stage.mount(command, [mountpoint], environment)
    file = mountpoint / "credentials"
    file.read_bytes()
    waits = []
    before = None
    for turn in range(KILLS):
        if turn % 10 == 0:
            say(f"killed {turn} of {KILLS} times")
        before = worker(supervisor, before)
        time.sleep(STABLE_SECONDS)
        begin = time.monotonic()
        os.kill(before, signal.SIGKILL)
        file.read_bytes()
        waits.append(time.monotonic() - begin)
    return {
        "kills": KILLS,
        "p50_ms": statistics.median(waits) * 1e3,
        "p99_ms": statistics.quantiles(waits, n=100)[98] * 1e3,
        "start_ms": statistics.median(starts) * 1e3,
        "to_start": statistics.median(waits) / statistics.median(starts),
        "supervisor_rss_mb": rss_megabytes(supervisor),
    }


def worker(supervisor, before):
    """The daemon of a supervisor, another one than before."""
    while True:
        # Each thread has a list of the children that it started.
        lists = Path(f"/proc/{supervisor.pid}/task").glob("*/children")
        found = [int(pid) for each in lists for pid in each.read_text(encoding="ascii").split()]
        if found and found[0] != before:
            return found[0]
        time.sleep(0.002)
