# What the scripts share. Sourced by bash, in the root of the repository.
# shellcheck shell=bash

# Where cargo builds; everything else that is installed for tests goes there too.
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
target=$(cd "$target" && pwd)

say() {
    printf '\n== %s\n' "$*"
}

# Lines of a failed installer, without the addresses of this machine's registries.
without_addresses() {
    sed -E -e 's#[a-z+]+://[^ ]+#ADDRESS#g' -e "s#host='[^']*'#ADDRESS#g" | tail -n 5
}

# Runs a command as root, if this user can.
as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        return 1
    fi
}

# install_packages NAME...: packages of Debian or Ubuntu. Fails, saying which, if they cannot be had.
install_packages() {
    local log status=0
    echo "installing: $*"
    log=$(mktemp)
    {
        as_root apt-get -qq update &&
            as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get -qq install --no-install-recommends -y "$@"
    } >"$log" 2>&1 </dev/null || status=$?
    if ((status != 0)); then
        without_addresses <"$log" >&2
        echo "could not install; please install these packages: $*" >&2
    fi
    rm -f "$log"
    return "$status"
}

# What building and mounting need.
install_base() {
    local missing=()
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    command -v fusermount3 >/dev/null || missing+=(fuse3)
    if ((${#missing[@]} > 0)); then install_packages "${missing[@]}"; fi
    if ! command -v cargo >/dev/null; then
        echo "cargo was not found; install a Rust toolchain first" >&2
        return 1
    fi
}

# What shows what the daemon writes; tests say that they see less without it.
install_strace() {
    if ! command -v strace >/dev/null; then install_packages strace; fi
}

# What reads the man page and the completions; tests without their reader are skipped.
install_readers() {
    local missing=()
    command -v groff >/dev/null || missing+=(groff-base)
    command -v zsh >/dev/null || missing+=(zsh)
    command -v fish >/dev/null || missing+=(fish)
    if ((${#missing[@]} > 0)); then install_packages "${missing[@]}"; fi
}

# What logs in with ssh certificates; tests without it are skipped.
install_ssh() {
    local missing=()
    command -v ssh >/dev/null || missing+=(openssh-client)
    [[ -x /usr/sbin/sshd ]] || missing+=(openssh-server)
    if ((${#missing[@]} > 0)); then install_packages "${missing[@]}"; fi
}

# Puts cargo-deb, which makes the Debian package, into the search path, or fails.
install_cargo_deb() {
    local log="$target/tools/cargo-deb.log"
    if command -v cargo-deb >/dev/null; then return; fi
    mkdir -p "$target/tools"
    if [[ ! -x $target/tools/bin/cargo-deb ]]; then
        echo "installing: cargo-deb"
        # Quicker to build like this; without a compressor of its own it takes that of the system.
        if ! CARGO_TARGET_DIR="$target/tools/build" cargo install --quiet --locked --debug \
            --no-default-features --version '^3' --root "$target/tools" cargo-deb \
            >"$log" 2>&1; then
            without_addresses <"$log" >&2
            return 1
        fi
        rm -rf "$target/tools/build"
    fi
    PATH="$target/tools/bin:$PATH"
}

# What runs containers in tests, which only root can do; tests without theirs are skipped.
install_containers() {
    local missing=()
    if ((EUID != 0)); then return; fi
    command -v dockerd >/dev/null || missing+=(docker.io)
    # Debian 13 has the client apart from the daemon.
    if ! command -v docker >/dev/null && apt-cache show docker-cli >/dev/null 2>&1; then
        missing+=(docker-cli)
    fi
    command -v podman >/dev/null || missing+=(podman)
    # Of the two runtimes only crun can do without control groups.
    command -v crun >/dev/null || missing+=(crun)
    command -v newuidmap >/dev/null || missing+=(uidmap)
    command -v bwrap >/dev/null || missing+=(bubblewrap)
    if ((${#missing[@]} > 0)); then install_packages "${missing[@]}"; fi
}

# What boots systemd in tests, which only root can do; tests without it are skipped.
install_systemd() {
    local missing=()
    if ((EUID != 0)); then return; fi
    [[ -x /usr/lib/systemd/systemd ]] || missing+=(systemd)
    [[ -x /usr/bin/dbus-daemon ]] || missing+=(dbus)
    # By way of it a confined daemon asks for mounts.
    [[ -e /usr/lib/systemd/user/dbus.socket ]] || missing+=(dbus-user-session)
    if ((${#missing[@]} > 0)); then install_packages "${missing[@]}"; fi
}

# Sets CREDMOUNT_TEST_PYTHON to a Python with the packages of tests/clients/requirements.txt, or
# fails.
install_python_clients() {
    local venv="$target/clients/venv" wanted=tests/clients/requirements.txt log
    if ! cmp -s "$wanted" "$venv/installed.txt"; then
        command -v python3 >/dev/null || install_packages python3 || return 1
        echo "installing the packages of $wanted"
        rm -rf "$venv"
        if ! python3 -m venv "$venv" >/dev/null 2>&1; then
            # Debian has it apart from Python.
            install_packages python3-venv || return 1
            python3 -m venv --clear "$venv" || return 1
        fi
        log="$target/clients/pip.log"
        if ! "$venv/bin/pip" install -q --disable-pip-version-check --no-deps -r "$wanted" \
            >"$log" 2>&1; then
            without_addresses <"$log" >&2
            return 1
        fi
        cp "$wanted" "$venv/installed.txt"
    fi
    export CREDMOUNT_TEST_PYTHON="$venv/bin/python"
}

# Sets CREDMOUNT_TEST_AWS_CLI_2 to the AWS CLI v2 of the distribution, or fails.
install_cli_2() {
    local program=/usr/bin/aws
    [[ -x $program ]] || install_packages awscli || return 1
    # Some releases have v1 under this name, some have none.
    "$program" --version 2>&1 | grep -q '^aws-cli/2' || return 1
    export CREDMOUNT_TEST_AWS_CLI_2=$program
}

# Sets CREDMOUNT_TEST_NODE_MODULES to the packages of tests/clients/package-lock.json, or fails.
install_node_clients() {
    local node="$target/clients/node" wanted=tests/clients/package-lock.json log
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        install_packages nodejs npm || return 1
    fi
    if (($(node -p 'parseInt(process.versions.node)') < 20)); then
        echo "the AWS SDK for JavaScript needs Node.js 20 or later" >&2
        return 1
    fi
    if ! cmp -s "$wanted" "$node/installed.json"; then
        echo "installing the packages of $wanted"
        rm -rf "$node"
        mkdir -p "$node"
        cp tests/clients/package.json tests/clients/package-lock.json tests/clients/.npmrc "$node/"
        log="$target/clients/npm.log"
        if ! (cd "$node" && npm ci --ignore-scripts) >"$log" 2>&1; then
            without_addresses <"$log" >&2
            return 1
        fi
        cp "$wanted" "$node/installed.json"
    fi
    export CREDMOUNT_TEST_NODE_MODULES="$node/node_modules"
}

# unmount_below DIR: removes every mount below it. A daemon whose mount is gone ends by itself.
unmount_below() {
    local mountpoint
    while read -r mountpoint; do
        if ((EUID == 0)); then
            umount -l "$mountpoint" || true
        else
            fusermount3 -u -z "$mountpoint" || true
        fi
    done < <(awk -v dir="$1/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo)
}
