"""What the writable directories cost those who read `credentials`.

Where the kernel lets the daemon mount upon its own mount, as root or with `allow_other`, the file
keeps a read-only super block. An ordinary user's own mount has one for all."""

import os
import pwd
import shutil
import subprocess

from machine import say
from opens import in_turn, middle, readers, speed
from stage import settings

READERS = (1, 8)

WITHOUT, WITH = "without", "writable_caches"

# Who has no privileges, where we have.
NOBODY = "nobody"


def measure(stage, sts, rounds):
    """One row for each mount; none for users that we cannot be."""
    users = {"root": {}, "an ordinary user": as_nobody()} if os.geteuid() == 0 else {"you": {}}
    made = {
        user: mounts(stage, sts, user.split()[-1], options)
        for user, options in users.items()
        if may_mount(options)
    }
    samples = {}
    for turn in range(rounds):
        say(f"writable directories, round {turn + 1} of {rounds}")
        for user, (bench, directories) in made.items():
            for count in READERS:
                for name in in_turn(directories, turn):
                    file = directories[name] / "credentials"
                    taken = readers(stage, file, "once", count, program=bench, **users[user])
                    samples.setdefault((user, count, name), []).append(taken)
    return [
        {"user": user, "readers": count, "system": name, **middle(taken)}
        | {"cost": 1 / speed(taken, samples[user, count, WITHOUT])}
        for (user, count, name), taken in samples.items()
    ]


def as_nobody():
    """The options of a process of somebody else."""
    user = pwd.getpwnam(NOBODY)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def may_mount(options):
    return subprocess.run(["test", "-w", "/dev/fuse"], check=False, **options).returncode == 0


def mounts(stage, sts, name, options):
    """Mounts of one user; returns the program that reads them, and their directories."""
    home = stage.directory / f"caches-{name}"
    run = home / "run"
    for path in (home, run):
        path.mkdir(mode=0o700)
    programs = {}
    for program in ("credmount", "bench"):
        # Copied: nobody may not be able to look where cargo builds.
        programs[program] = shutil.copy(stage.programs[program], home)
    if options:
        # On the way to that user's files nobody else's are seen.
        stage.directory.chmod(0o711)
        for path in (home, run, *programs.values()):
            os.chown(path, options["user"], options["group"])
    environment = {**sts, **settings(1), "HOME": str(home), "XDG_RUNTIME_DIR": str(run)}
    directories = {}
    for system, value in ((WITHOUT, "false"), (WITH, "true")):
        directories[system] = home / f"caches-{name}-{value}"
        flag = f"--writable-caches={value}"
        command = [programs["credmount"], flag, directories[system]]
        stage.mount(command, [directories[system]], environment, **options)
    return programs["bench"], directories
