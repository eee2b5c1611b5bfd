"""Opens and reads of one file: the mount beside tmpfs and two minimal FUSE file systems that serve
the same bytes."""

import json
import subprocess
from statistics import median

from machine import say

READERS = (1, 2, 8, 64)

# Short, so that whatever else the machine does meets all that is compared alike.
SLICE = "100ms"

# C comes twice: with the options it has by default, and read-only, which spares it a GETATTR for
# each open (the kernel keeps no access times) as it does us.
C, C_READ_ONLY = "C libfuse", "C libfuse, ro mount"


def readers(stage, file, how, count, until=("--time", SLICE), program=None, **options):
    """One measurement: p50_us, p99_us, per_second, and the count and seconds of all. `options` are
    those of the process."""
    done = subprocess.run(
        [program or stage.programs["bench"], "readers", "--how", how, "--readers", str(count)]
        + [*until, str(file)],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    if done.returncode != 0:
        raise RuntimeError(f"reading {file}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def middle(samples):
    """The medians of each number over the rounds."""
    return {key: median(sample[key] for sample in samples) for key in samples[0]}


def speed(ours, theirs):
    """How many times as fast, by the typical round of calls; the median of the rounds' ratios. The
    rates would say how busy the neighbours were."""
    return median(b["p50_us"] / a["p50_us"] for a, b in zip(ours, theirs))


def in_turn(names, turn):
    """The names in an order of this turn: nobody always follows the same neighbour."""
    names = list(names)
    return names[turn % len(names) :] + names[: turn % len(names)]


def measure(stage, mountpoint, rounds):
    content = (mountpoint / "credentials").read_bytes()
    tmpfs = stage.tmpfs("credentials", content)
    plain = tmpfs / "credentials"
    hello_c, bench = stage.programs["hello-c"], stage.programs["bench"]
    directories = {
        "tmpfs": tmpfs,
        C: stage.fuse("c", hello_c, plain, "MOUNTPOINT"),
        C_READ_ONLY: stage.fuse("c-ro", hello_c, plain, "MOUNTPOINT", "ro"),
        "fuser": stage.fuse("fuser", bench, "hello", plain, "MOUNTPOINT"),
        "credmount": mountpoint,
    }
    for name, directory in directories.items():
        if (directory / "credentials").read_bytes() != content:
            raise RuntimeError(f"{name} serves other bytes")
    cells = [(how, count) for how in ("once", "whole") for count in READERS]
    samples = {(how, count, name): [] for how, count in cells for name in directories}
    for turn in range(rounds):
        say(f"opens, round {turn + 1} of {rounds}")
        for how, count in cells:
            for name in in_turn(directories, turn):
                file = directories[name] / "credentials"
                samples[how, count, name].append(readers(stage, file, how, count))
    return {
        "bytes": len(content),
        "rows": [
            {"how": how, "readers": count, "system": name, **middle(taken)}
            | {"to_c": speed(taken, samples[how, count, C])}
            for (how, count, name), taken in samples.items()
        ],
    }
