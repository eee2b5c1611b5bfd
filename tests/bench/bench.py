"""Measures a credmount mount beside what it competes with, in one run, and prints one table.

Everything that is compared is measured in turn within each round, and medians of the rounds are
shown: on a busy machine absolute times move by a factor of two, ratios hold."""

import argparse
import json
import signal
import sys

import clients
import machine
import opens
import report
import roles
from stage import Stage


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds only")
    parser.add_argument("--json", metavar="FILE", help="write all numbers to FILE too")
    parser.add_argument("--rounds", type=int, help="rounds of everything [default: 15, quick: 3]")
    return parser.parse_args()


def measure(stage, python, rounds):
    sts = stage.emulator()
    mountpoint, _ = stage.credmount("aws", 1, sts)
    result = {"machine": machine.describe(python), "rounds": rounds}
    result["opens"] = opens.measure(stage, mountpoint, rounds)
    result["clients"] = clients.measure(stage, python, mountpoint, rounds)
    result["roles"] = roles.measure(stage, sts, rounds)
    return result


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
            result = measure(stage, python, rounds)
    except RuntimeError as error:
        sys.exit(f"scripts/bench: {error}")
    report.show(result)
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)


main()
