"""How long boto3 takes from nothing to usable keys, by every way the keys can come."""

import json
import os
import subprocess
from pathlib import Path
from statistics import median, quantiles

from machine import say
from opens import in_turn

PLAIN, MOUNT, LIVE = "plain file", "credmount", "credmount, NAME@live (cat)"
CURL, PYTHON = "credential_process = sh + curl", "a container endpoint in Python"
ENDPOINT = "credmount, its container endpoint"


# Of one way in one round.
SESSIONS = 10


def ways(stage, python, mountpoint, address):
    """The environment of a client for each way."""
    process_json = mountpoint / "credmount" / "process" / "role-0.json"
    url, token = stage.endpoint(python, process_json)
    plain, curl = stage.make("plain"), stage.make("curl")
    for name in ("credentials", "config"):
        (plain / name).write_bytes((mountpoint / name).read_bytes())
    helper = curl / "helper.sh"
    helper.write_text(
        f"#!/bin/sh\nexec curl -sSf --max-time 10 -H 'Authorization: {token}' '{url}/process'\n"
    )
    helper.chmod(0o700)
    (curl / "credentials").touch()
    (curl / "config").write_text(
        f"[profile role-0]\nregion = eu-west-1\ncredential_process = {helper}\n"
    )

    def files(directory, profile="role-0"):
        return {
            "AWS_SHARED_CREDENTIALS_FILE": str(directory / "credentials"),
            "AWS_CONFIG_FILE": str(directory / "config"),
            "AWS_PROFILE": profile,
        }

    def container(location, **authorization):
        return {
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": location,
            **authorization,
        }

    token_file = mountpoint / "credmount" / "endpoint" / "token"
    return {
        PLAIN: files(plain),
        MOUNT: files(mountpoint),
        LIVE: files(mountpoint, "role-0@live"),
        CURL: files(curl),
        ENDPOINT: container(
            f"http://{address}/role/role-0",
            AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(token_file),
        ),
        PYTHON: container(f"{url}/container", AWS_CONTAINER_AUTHORIZATION_TOKEN=token),
    }


def measure(stage, python, mountpoint, address, rounds):
    process_json = mountpoint / "credmount" / "process" / "role-0.json"
    key = json.loads(process_json.read_bytes())["AccessKeyId"]
    script = Path(__file__).with_name("client.py")
    processes = {}
    for way, environment in ways(stage, python, mountpoint, address).items():
        processes[way] = stage.spawn(
            [python, script, key], environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        ask(processes[way], way)
    samples = {way: [] for way in processes}
    # Small helpings: the ways of one turn see the same neighbours on the machine.
    for turn in range(rounds):
        say(f"boto3, round {turn + 1} of {rounds}")
        for way in in_turn(processes, turn):
            processes[way].stdin.write(f"{SESSIONS}\n")
            processes[way].stdin.flush()
            samples[way].append(ask(processes[way], way))
    return [
        {"way": way, "total": summary(taken, samples[PLAIN], 0)}
        | {"after_session": summary(taken, samples[PLAIN], 1)}
        for way, taken in samples.items()
    ]


def summary(taken, plain, part):
    """The numbers of one part of the pairs; the ratio is the median of the rounds' ratios."""
    every = [pair[part] for helping in taken for pair in helping]

    def middle(helping):
        return median(pair[part] for pair in helping)

    return {
        "p50_ms": median(every) * 1e3,
        "p99_ms": quantiles(every, n=100)[98] * 1e3,
        "ratio_to_plain": median(middle(a) / middle(b) for a, b in zip(taken, plain)),
        "count": len(every),
    }


def ask(process, way):
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the boto3 client ended: {way}")
    return json.loads(line)

