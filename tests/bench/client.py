"""A boto3 process that makes fresh sessions. For each number it reads from its standard input it
prints a JSON list of that many pairs: the seconds from nothing to usable keys, and the seconds of
these that came after the session object was made, which reads no file."""

import json
import sys
import time

from botocore.session import Session


def session():
    start = time.perf_counter()
    made = Session()
    middle = time.perf_counter()
    credentials = made.get_credentials()
    if credentials is None:
        sys.exit("no credentials found")
    keys = credentials.get_frozen_credentials()
    end = time.perf_counter()
    return keys, (end - start, end - middle)


def main():
    expected = sys.argv[1]
    # Once before the start: modules are imported, and the keys are those of our emulator's role.
    if session()[0].access_key != expected:
        sys.exit("these are other keys than expected")
    print("[]", flush=True)
    for line in sys.stdin:
        print(json.dumps([session()[1] for _ in range(int(line))]), flush=True)


main()
