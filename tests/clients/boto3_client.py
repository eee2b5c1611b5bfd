"""Asks who it is, as a program with boto3 does: settings come from the environment and ~/.aws only.

usage: boto3_client.py [SECONDS]

Prints the ARN that GetCallerIdentity answers. With SECONDS it goes on asking twice a second, always
with the same client, and ends at the first failure.
"""

import sys
import time

import boto3


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    client = boto3.client("sts")
    until = time.monotonic() + seconds
    while True:
        print(client.get_caller_identity()["Arn"], flush=True)
        if time.monotonic() >= until:
            return
        time.sleep(0.5)


try:
    main()
except Exception as error:  # Whatever it is, the test looks at what a person would be shown.
    sys.exit(f"{type(error).__name__}: {error}")
