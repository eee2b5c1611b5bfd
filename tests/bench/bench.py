"""Measures a credmount mount beside what it competes with, in one run, and prints one table.

Everything that is compared is measured in turn within each round, and medians of the rounds are
shown: on a busy machine absolute times move by a factor of two, ratios hold."""

import argparse
import json
import signal
import sys

import audit
import caches
import clients
import machine
import mounts
import opens
import recovery
import report
import roles
from stage import Stage


# In the order of the tables.
PARTS = ("opens", "clients", "roles", "audit", "caches", "mounts", "recovery")


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds only")
    parser.add_argument("--json", metavar="FILE", help="write all numbers to FILE too")
    parser.add_argument("--only", choices=PARTS, nargs="+", help="only these parts")
    parser.add_argument("--rounds", type=int, help="rounds of everything [default: 15, quick: 3]")
    return parser.parse_args()


def measure(stage, python, rounds, parts):
    sts = stage.emulator()
    address = stage.free_address()
    mountpoint, _ = stage.credmount("aws", 1, sts, "--endpoint", address)
    measured = {
        "opens": lambda: opens.measure(stage, mountpoint, rounds),
        "clients": lambda: clients.measure(stage, python, mountpoint, address, rounds),
        "roles": lambda: roles.measure(stage, sts, rounds),
        "audit": lambda: audit.measure(stage, sts, rounds),
        "caches": lambda: caches.measure(stage, sts, rounds),
        "mounts": lambda: mounts.measure(stage, sts, rounds),
        "recovery": lambda: recovery.measure(stage, sts),
    }
    result = {"machine": machine.describe(python), "rounds": rounds}
    return result | {part: measured[part]() for part in PARTS if part in parts}


def end(number, _frame):
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    sys.exit(f"ended by {signal.Signals(number).name}")


def main():
    asked = arguments()
    # Every signal cleans up, and once is enough: a second one must not interrupt that.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    machine.install_packages()
    python = machine.venv()
    programs = machine.build()
    rounds = asked.rounds or (3 if asked.quick else 15)
    try:
        with Stage(programs) as stage:
            result = measure(stage, python, rounds, asked.only or PARTS)
    except RuntimeError as error:
        sys.exit(f"scripts/bench: {error}")
    report.show(result)
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)


main()
