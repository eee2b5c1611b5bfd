"""How much one file of many roles costs: to render, to open, and in memory."""

import json
import subprocess
from pathlib import Path

from machine import say
from opens import middle, readers

COUNTS = (1, 10, 100, 1000)


def measure(stage, sts, rounds):
    mounts = {}
    for count in COUNTS:
        say(f"mounting {count} roles")
        mounts[count] = stage.credmount(f"roles-{count}", count, sts)
    samples = {(count, what): [] for count in COUNTS for what in ("open", "whole", "render")}
    for turn in range(rounds):
        say(f"roles, round {turn + 1} of {rounds}")
        for count, (mountpoint, _) in mounts.items():
            file = mountpoint / "credentials"
            for how in ("open", "whole"):
                samples[count, how].append(readers(stage, file, how, 1))
            samples[count, "render"].append(render(stage, count))
    return [
        {
            "roles": count,
            "bytes": (mountpoint / "credentials").stat().st_size,
            "render_p50_us": middle(samples[count, "render"])["p50_us"],
            "open": middle(samples[count, "open"]),
            "whole": middle(samples[count, "whole"]),
            "rss_mb": rss_megabytes(daemon),
        }
        for count, (mountpoint, daemon) in mounts.items()
    ]


def render(stage, count):
    command = [stage.programs["bench"], "render", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def rss_megabytes(daemon):
    status = Path(f"/proc/{daemon.pid}/status").read_text(encoding="utf-8")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    return int(kilobytes) * 1024 / 1e6
