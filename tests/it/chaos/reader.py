"""Reads a credentials file until told to stop, and tries every key that it reads.

usage: reader.py FILE ENDPOINT SEED HOW

HOW is `read` (open, read to the end, close) or `hold` (keep the descriptor for a while before it is
read). Each key that is read signs a GetCallerIdentity call to ENDPOINT. Ends when standard input
does, and prints one JSON object: what was counted, what was wrong, and the longest waits.
"""

import datetime
import errno
import hashlib
import hmac
import http.client
import json
import os
import random
import select
import sys
import time
import urllib.parse

PATH, ENDPOINT, SEED, HOW = sys.argv[1:5]
HOST = urllib.parse.urlparse(ENDPOINT).netloc
RANDOM = random.Random(SEED)
BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
KEYS = (
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "aws_account_id",
    "x_security_token_expires",
)
FAILING = ("credential_process",)
SECTIONS = ["[default]", "[prod]", "[dev]"]
COUNTED = ("reads", "keys", "calls", "failing", "late")

counts = dict.fromkeys(COUNTED, 0)
wrong = []
waits = []
stale = []
tried = set()


def found(what):
    """Something that must not be. The first few tell enough."""
    if len(wrong) < 10:
        wrong.append(f"{time.monotonic():.3f} {what}")


def wait_of(operation, begin):
    """Remembers how long the kernel was asked, if that was long."""
    took = time.monotonic() - begin
    if took > 0.05:
        waits.append([took, begin, operation])
        waits.sort(reverse=True)
        del waits[20:]


def timed(operation, call, *arguments):
    begin = time.monotonic()
    try:
        return call(*arguments)
    finally:
        wait_of(operation, begin)


def read_all(descriptor):
    data = b""
    while True:
        chunk = timed("read", os.read, descriptor, RANDOM.choice((512, 4096, 1 << 16)))
        if not chunk:
            return data
        data += chunk


def rendering(seconds):
    """The wall clock before the open, and what was read after these seconds; None if the descriptor
    has become stale."""
    before, begin = time.time(), time.monotonic()
    descriptor = timed("open", os.open, PATH, os.O_RDONLY)
    try:
        time.sleep(seconds)
        data = read_all(descriptor)
        size = timed("fstat", os.fstat, descriptor).st_size
    except OSError as error:
        # A descriptor that outlives its daemon may say so. Whether it did is judged elsewhere.
        if error.errno == errno.ESTALE:
            stale.append([begin, time.monotonic()])
            return None
        raise
    finally:
        timed("close", os.close, descriptor)
    # A file may have grown after it was opened; nothing may ever be cut.
    if size < len(data):
        found(f"{len(data)} bytes of a file of {size}")
    return before, data


def sections_of(data):
    """The pairs of each section; None if the rendering is not whole."""
    if not data.endswith(b"\n") or not data.startswith(b"# credmount"):
        return None
    sections = {}
    pairs = None
    for line in data.decode("ascii").split("\n"):
        if line.startswith("["):
            if line in sections:
                return None
            pairs = sections[line] = {}
        elif line and not line.startswith("#"):
            name, separator, value = line.partition(" = ")
            if pairs is None or not separator or not value or name in pairs:
                return None
            pairs[name] = value
    if list(sections) != SECTIONS:
        return None
    for pairs in sections.values():
        if tuple(pairs) not in (KEYS, FAILING):
            return None
    default, prod = sections["[default]"], sections["[prod]"]
    # One role under two names, which stand in the reason for its failure.
    if default != prod and (tuple(default), tuple(prod)) != (FAILING, FAILING):
        return None
    return sections


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def identity(key_id, secret, token):
    """Status and text of what STS answers to these keys (IAM User Guide, "Signature Version 4")."""
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    headers = {"host": HOST, "x-amz-date": stamp, "x-amz-security-token": token}
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    body = hashlib.sha256(BODY).hexdigest()
    request = hashlib.sha256(f"POST\n/\n\n{lines}\n{names}\n{body}".encode()).hexdigest()
    scope = f"{day}/eu-west-1/sts/aws4_request"
    key = f"AWS4{secret}".encode()
    for part in (day, "eu-west-1", "sts", "aws4_request"):
        key = sign(key, part)
    signature = sign(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{request}").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    headers["content-type"] = "application/x-www-form-urlencoded"
    connection = http.client.HTTPConnection(HOST, timeout=20)
    try:
        connection.request("POST", "/", BODY, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def instant(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def try_key(role, pairs, opened):
    keys = tuple(pairs[name] for name in KEYS[:3])
    expires = instant(pairs["x_security_token_expires"])
    if expires <= opened:
        found(f"{keys[0]} had expired {opened - expires:.3f} s before it was asked for")
    status, text = identity(*keys)
    counts["calls"] += 1
    if status == 200 and f":assumed-role/{role}/" in text:
        tried.add(keys)
    elif "ExpiredToken" in text and time.time() >= expires:
        # It was good when it was read.
        counts["late"] += 1
    else:
        found(f"{keys[0]} of {role}: {status} {text[:300]}")


def read_once(seconds):
    got = rendering(seconds)
    if got is None:
        return
    before, data = got
    counts["reads"] += 1
    sections = sections_of(data)
    if sections is None:
        found(f"no whole rendering: {data[:40]!r}... of {len(data)} bytes")
        return
    live = [name for name in SECTIONS[1:] if "aws_access_key_id" in sections[name]]
    counts["failing"] += len(live) < 2
    counts["keys"] += len(live)
    chosen = RANDOM.choice(live) if live else None
    for name in live:
        pairs = sections[name]
        if name == chosen or tuple(pairs[key] for key in KEYS[:3]) not in tried:
            try_key(name.strip("[]"), pairs, before)


def main():
    while not select.select([sys.stdin], [], [], 0.01)[0]:
        try:
            read_once(RANDOM.uniform(0, 2) if HOW == "hold" else 0)
        except OSError as error:
            found(f"{error}")
            time.sleep(0.05)
    # The storm is over. Every descriptor that was held may have been one that it made stale.
    read_once(0)
    print(json.dumps({**counts, "wrong": wrong, "waits": waits, "stale": stale}))


main()
