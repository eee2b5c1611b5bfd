"""What the measurements need from the machine: packages, builds, a virtual environment; and how
the machine is described beside the numbers."""

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent


def target_directory():
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()


def say(text):
    print(text, file=sys.stderr, flush=True)


def output(*command):
    """The first line a command prints, or an empty text if there is none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if lines else ""


def install_packages():
    """Installs missing Debian packages if we may; else says which are missing."""
    wanted = {
        "fuse3": shutil.which("fusermount3"),
        "pkg-config": shutil.which("pkg-config"),
        "gcc": shutil.which("gcc"),
        # Debian has it apart from Python.
        "python3-venv": importlib.util.find_spec("ensurepip"),
        "curl": shutil.which("curl"),
        "libfuse3-dev": output("pkg-config", "--modversion", "fuse3"),
    }
    missing = [name for name, found in wanted.items() if not found]
    if not missing:
        return
    # It says itself what went wrong.
    script = '. scripts/lib.sh; install_packages "$@"'
    install = ["bash", "-c", script, "scripts/bench", *missing]
    if subprocess.run(install, cwd=ROOT, stdout=sys.stderr, check=False).returncode != 0:
        sys.exit(1)


def cargo_build(*arguments):
    """Builds and returns the executables by target name."""
    say(f"cargo build {' '.join(arguments)}")
    done = subprocess.run(
        ["cargo", "build", "--message-format=json-render-diagnostics", *arguments],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    messages = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    return {
        message["target"]["name"]: Path(message["executable"])
        for message in messages
        if message.get("executable")
    }


def build():
    """Builds all programs into one directory and returns their paths by name."""
    into = target_directory() / "scripts-bench"
    into.mkdir(parents=True, exist_ok=True)
    # In one go: apart, the SDK would be compiled twice, because test dependencies ask tokio for one
    # feature more (a clock that can be stopped; nothing on the path of an open uses it).
    built = cargo_build(
        "--release", "--bin", "credmount", "--example", "sts-emulator", "--bench", "bench"
    )
    programs = {name: built[name] for name in ("credmount", "sts-emulator", "bench")}
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "fuse3"], check=True, capture_output=True, text=True
    ).stdout.split()
    programs["hello-c"] = into / "hello-c"
    command = ["gcc", "-O2", "-Wall", "-o", programs["hello-c"], HERE / "hello.c", *flags]
    subprocess.run(command, check=True)
    return programs


def venv():
    """A virtual environment with boto3; returns its Python."""
    directory = target_directory() / "scripts-bench" / "venv"
    python = directory / "bin" / "python"
    if not output(str(python), "-c", "import boto3; print(boto3.__version__)"):
        say("installing boto3 below the target directory")
        subprocess.run([sys.executable, "-m", "venv", "--clear", directory], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "boto3"], check=True, stdout=sys.stderr)
    return python


def describe(python):
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line
    )
    return {
        "cores": os.cpu_count(),
        "cpu": cpu,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release(),
        "system": release.get("PRETTY_NAME", "").strip('"'),
        "rustc": output("rustc", "--version").removeprefix("rustc ").split(" ")[0],
        "libfuse": output("pkg-config", "--modversion", "fuse3"),
        "python": platform.python_version(),
        "boto3": output(str(python), "-c", "import boto3; print(boto3.__version__)"),
        "credmount": output("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
    }
