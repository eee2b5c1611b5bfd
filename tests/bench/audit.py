"""What it costs to find out who opens `credentials`, to decide and to record it; and whether the
record of every open is there."""

import json

from machine import say
from opens import in_turn, middle, readers, speed

READERS = (1, 8, 64)

WITHOUT, RULE = "no audit", "no audit, rule on exe"
AUDIT, AUDIT_AND_RULE = "audit to a file", "audit to a file, rule on exe"

# Of the proof that no record is lost.
CROWD, OPENS_EACH = 64, 10_000


def measure(stage, sts, rounds):
    def log(name):
        return stage.directory / f"{name}.jsonl"

    # Fits the readers, so that it decides; best effort, like every rule on programs.
    rule = ["--allow", f"exe={stage.programs['bench']}"]
    flags = {
        WITHOUT: [],
        RULE: rule,
        AUDIT: ["--audit-log", log("audit")],
        AUDIT_AND_RULE: ["--audit-log", log("audit-rule"), *rule],
    }
    mounts = {
        name: stage.credmount(f"audit-{index}", 1, sts, *given)[0]
        for index, (name, given) in enumerate(flags.items())
    }
    samples = {(count, name): [] for count in READERS for name in mounts}
    for turn in range(rounds):
        say(f"audit, round {turn + 1} of {rounds}")
        for count in READERS:
            for name in in_turn(mounts, turn):
                file = mounts[name] / "credentials"
                samples[count, name].append(readers(stage, file, "open", count))
    return {
        "rows": [
            {"readers": count, "system": name, **middle(taken)}
            | {"cost": 1 / speed(taken, samples[count, WITHOUT])}
            for (count, name), taken in samples.items()
        ],
        "proof": prove(stage, mounts[AUDIT] / "credentials", log("audit")),
    }


def prove(stage, file, log):
    """Opens as many times as was promised, and counts the records."""
    say(f"audit, {CROWD} readers × {OPENS_EACH:,} opens")
    before = opens_in(log)
    done = readers(stage, file, "open", CROWD, until=("--rounds", str(OPENS_EACH)))
    # Every reader opens once before it begins.
    opened = done["count"] + CROWD
    recorded = opens_in(log) - before
    if recorded != opened:
        raise RuntimeError(f"{opened} opens, but {recorded} records")
    size = log.stat().st_size
    log.unlink()
    return {"opens": opened, "records": recorded, "seconds": done["seconds"], "log_bytes": size}


def opens_in(log):
    """How many whole records of opens that were allowed the log has."""
    with open(log, encoding="utf-8") as lines:
        events = (json.loads(line) for line in lines)
        return sum((event["event"], event.get("decision")) == ("open", "allowed") for event in events)
