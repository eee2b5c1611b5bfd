"""What is measured, set up in a directory of its own: the STS emulator, mounts, file systems to
compare with. Leaving the stage stops and unmounts everything, whatever happened."""

import ctypes
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

DEADLINE_SECONDS = 60


class Stage(ExitStack):
    """Programs by name in `programs`; `directory` is where mounts and files are."""

    def __init__(self, programs):
        super().__init__()
        self.programs = {name: str(path) for name, path in programs.items()}
        self.directory = Path(tempfile.mkdtemp(prefix="credmount-bench-"))
        self.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self.environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.directory),
            "XDG_RUNTIME_DIR": str(self.make("run", mode=0o700)),
            "AWS_EC2_METADATA_DISABLED": "true",
            # What is measured is what a mount costs, not how slowly it asks for many sessions.
            "CREDMOUNT_STS_CALLS_PER_SECOND": "100",
            "CREDMOUNT_OPEN_DEADLINE": "50s",
        }

    def make(self, name, mode=0o755):
        path = self.directory / name
        path.mkdir(mode=mode)
        return path

    def spawn(self, command, environment=None, **options):
        """Starts a process that is ended with the stage."""
        child = subprocess.Popen(
            [str(part) for part in command],
            env={**self.environment, **(environment or {})},
            # Not hit by Ctrl-C itself: it has to live until it is unmounted.
            start_new_session=True,
            preexec_fn=end_with_parent,
            text=True,
            **options,
        )
        self.callback(stop, child)
        return child

    def emulator(self):
        """Starts the STS emulator; returns the environment of its clients."""
        emulator = self.spawn(
            [self.programs["sts-emulator"], "--token-length", "800..800"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        exports = {}
        while "AWS_SECRET_ACCESS_KEY" not in exports:
            line = emulator.stdout.readline()
            if not line:
                raise RuntimeError("the STS emulator did not start")
            if found := re.match(r"export (\w+)=(.*)", line):
                exports[found[1]] = found[2]
        return exports

    def credmount(self, name, roles, sts, *flags):
        """Mounts so many roles; returns the mount point and the daemon."""
        mountpoint = self.directory / name
        command = [self.programs["credmount"], *flags, mountpoint]
        return mountpoint, self.mount(command, [mountpoint], {**sts, **settings(roles)})

    def fuse(self, name, *command):
        """Mounts a file system of another program at a new directory; returns the directory."""
        mountpoint = self.make(name)
        command = [str(mountpoint) if part == "MOUNTPOINT" else part for part in command]
        self.mount(command, [mountpoint])
        return mountpoint

    def mount(self, command, mountpoints, environment=None, **options):
        """Starts a daemon; returns it once all is mounted."""
        log = open(self.directory / f"{mountpoints[0].name}.log", "w+", encoding="utf-8")
        self.enter_context(log)
        daemon = self.spawn(command, environment, stdout=log, stderr=log, **options)
        for mountpoint in mountpoints:
            # Runs before the daemon is stopped; by then there may be no mount any more.
            self.callback(unmount, mountpoint)
        give_up = time.monotonic() + DEADLINE_SECONDS
        while not set(map(str, mountpoints)) <= mounted():
            if daemon.poll() is not None or time.monotonic() > give_up:
                log.seek(0)
                raise RuntimeError(f"{command[0]} did not mount:\n{log.read()}")
            time.sleep(0.005)
        return daemon

    def tmpfs(self, name, content):
        """A file on tmpfs; returns its directory."""
        directory = Path(tempfile.mkdtemp(prefix="credmount-bench-", dir="/dev/shm"))
        self.callback(shutil.rmtree, directory, ignore_errors=True)
        (directory / name).write_bytes(content)
        return directory

    def free_address(self):
        """An address where nobody listens at present."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return f"127.0.0.1:{listener.getsockname()[1]}"

    def endpoint(self, python, process_json):
        """Starts the HTTP endpoint to compare with; returns its URL and token."""
        token = secrets.token_urlsafe(32)
        script = Path(__file__).with_name("endpoint.py")
        server = self.spawn([python, script, process_json, token], stdout=subprocess.PIPE)
        port = server.stdout.readline().strip()
        if not port:
            raise RuntimeError("the credentials endpoint did not start")
        return f"http://127.0.0.1:{port}", token


def settings(roles):
    """The environment of a daemon of so many roles."""
    definitions = {
        f"role-{n}": {"role_arn": f"arn:aws:iam::123456789012:role/role-{n}"} for n in range(roles)
    }
    return {"CREDMOUNT_ROLES": json.dumps(definitions), "AWS_REGION": "eu-west-1"}


def mounted():
    """The paths that anything is mounted on."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return {line.split(" ")[4] for line in lines}


def unmount(path):
    if str(path) in mounted():
        subprocess.run(["fusermount3", "-u", "-z", str(path)], check=False)


def stop(child):
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe:
            pipe.close()


def end_with_parent():
    """PR_SET_PDEATHSIG: nothing is left behind even if this program is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
