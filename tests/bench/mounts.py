"""What many mounts of one daemon cost: to start, in memory, and for those who read one of them."""

import time

from machine import say
from opens import in_turn, middle, readers, speed
from roles import rss_megabytes
from stage import stop, unmount

COUNTS = (1, 10, 50)

READERS = (1, 8)

# A start takes far longer than a slice of readers; a few tell enough.
MOST_STARTS = 5


def measure(stage, sts, rounds):
    starts = {count: [] for count in COUNTS}
    for turn in range(min(rounds, MOST_STARTS)):
        say(f"starts, round {turn + 1} of {min(rounds, MOST_STARTS)}")
        for count in COUNTS:
            seconds, mountpoints, daemon = start(stage, sts, f"start-{turn}-{count}", count)
            starts[count].append({"seconds": seconds})
            for mountpoint in mountpoints:
                unmount(mountpoint)
            stop(daemon)
    daemons = {}
    for count in COUNTS:
        _, mountpoints, daemon = start(stage, sts, f"fleet-{count}", count)
        for mountpoint in mountpoints:
            (mountpoint / "credentials").read_bytes()
        daemons[count] = (mountpoints[count // 2] / "credentials", daemon)
    samples = {(count, crowd): [] for count in COUNTS for crowd in READERS}
    for turn in range(rounds):
        say(f"mounts, round {turn + 1} of {rounds}")
        for crowd in READERS:
            for count in in_turn(daemons, turn):
                file, _ = daemons[count]
                samples[count, crowd].append(readers(stage, file, "once", crowd))
    return [
        {
            "mounts": count,
            "start_ms": middle(starts[count])["seconds"] * 1e3,
            "rss_mb": rss_megabytes(daemon),
            "opens": [
                {"readers": crowd, **middle(samples[count, crowd])}
                | {"cost": 1 / speed(samples[count, crowd], samples[COUNTS[0], crowd])}
                for crowd in READERS
            ],
        }
        for count, (_, daemon) in daemons.items()
    ]


def start(stage, sts, name, count):
    """Serves so many mounts, each with a session of its own; returns the seconds until all are
    there, their directories and the daemon."""
    directory = stage.make(name)
    mountpoints = [directory / f"{name}-{index}" for index in range(count)]
    config = directory / "config.toml"
    role = '[roles.role-0]\nrole_arn = "arn:aws:iam::123456789012:role/role-0"\n'
    tables = [
        f'[mounts.agent-{index}]\npath = "{path}"\nsession_name = "agent-{index}"\n'
        for index, path in enumerate(mountpoints)
    ]
    config.write_text(role + "".join(tables), encoding="utf-8")
    environment = {**sts, "AWS_REGION": "eu-west-1"}
    begin = time.monotonic()
    command = [stage.programs["credmount"], "--config", config]
    daemon = stage.mount(command, mountpoints, environment)
    return time.monotonic() - begin, mountpoints, daemon
