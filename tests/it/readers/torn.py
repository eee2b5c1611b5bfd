"""Reads a credentials file over and over and judges every rendering.

usage: torn.py FILE SECONDS

Prints one JSON object: reads, what was torn, sizes that differed, and for each access key id the
CLOCK_MONOTONIC time in nanoseconds just before the last open that gave it.
"""

import json
import os
import random
import sys
import time


def read(path, pause):
    before = time.monotonic_ns()
    fd = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size
        data = os.read(fd, random.randrange(1, size))
        if pause:
            time.sleep(0.0003)
        while chunk := os.read(fd, 1 << 16):
            data += chunk
        return before, size, os.fstat(fd).st_size, data
    finally:
        os.close(fd)


def keys_of(data):
    """The (key, secret, token) of both sections, which belong to one session."""
    if not data.endswith(b"\n") or not data.startswith(b"# credmount"):
        return None
    found = {}
    section = None
    for line in data.decode("ascii").splitlines():
        if line.startswith("["):
            section = found.setdefault(line, {})
        elif line and not line.startswith("#"):
            name, _, value = line.partition(" = ")
            section[name] = value
    sections = list(found.values())
    if list(found) != ["[default]", "[prod]"] or sections[0] != sections[1]:
        return None
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return tuple(sections[0].get(name) for name in names)


def main():
    path, seconds = sys.argv[1], float(sys.argv[2])
    reads, torn, sizes, last_open, sessions = 0, [], [], {}, {}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before, size, size_after, data = read(path, reads % 7 == 0)
        reads += 1
        if len(data) != size or size != size_after:
            sizes.append([size, size_after, len(data)])
        keys = keys_of(data)
        if keys is None or None in keys or sessions.setdefault(keys[0], keys) != keys:
            torn.append(len(data))
        else:
            last_open[keys[0]] = before
    print(json.dumps({"reads": reads, "torn": torn, "sizes": sizes, "last_open": last_open}))


main()
