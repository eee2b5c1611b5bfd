# What scripts/install, scripts/uninstall and scripts/package share: which files belong to an
# installation beside the program, and where they go. Sourced by bash, in the root of the repository.
# shellcheck shell=bash
# Variables are set for those who source this, and by them.
# shellcheck disable=SC2034,SC2154

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

misused() {
    printf '%s: %s\nTry %s --help.\n' "${0##*/}" "$*" "$0" >&2
    exit 2
}

# show_help: the comment at the top of the script.
show_help() {
    sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"
}

# credmount_version PROGRAM: prints it, or fails if this is no credmount that runs here.
credmount_version() {
    local said
    said=$("$1" --version 2>/dev/null) || return 1
    [[ $said == "credmount "* ]] || return 1
    printf '%s\n' "${said#credmount }"
}

# stage_files PROGRAM INSTALLED DIR: makes below DIR what is installed beside PROGRAM, for which
# INSTALLED will be the path:
#   DIR/credmount.1                  the man page
#   DIR/completions/{bash,zsh,fish}  completions
#   DIR/units/{user,system}/*        systemd units
stage_files() {
    local program=$1 installed=$2 dir=$3 shell unit scope
    mkdir -p "$dir/completions" "$dir/units/user" "$dir/units/system"
    "$program" man >"$dir/credmount.1"
    for shell in bash zsh fish; do
        "$program" completions "$shell" >"$dir/completions/$shell"
    done
    # Units of the system manager stand in systemd/system, all others are for user managers.
    while IFS= read -r unit; do
        scope=user
        if [[ $unit == system/* ]]; then scope=system; fi
        mkdir -p "$(dirname "$dir/units/$scope/${unit#system/}")"
        name_program "$installed" <"systemd/$unit" >"$dir/units/$scope/${unit#system/}"
    done < <(find systemd -type f \( -name '*.service' -o -name '*.conf' \) -printf '%P\n' | sort)
}

# Writes a unit anew with the path of the installed program: wherever it names a path that ends in
# /bin/credmount, whichever that is.
name_program() {
    sed -E "s#(%h)?(/[A-Za-z0-9._+@-]+)*/bin/credmount([^A-Za-z0-9._-]|\$)#$1\3#g"
}

# set_places: where things are installed, from $system (0 or 1) and the environment.
#
# Sets bin, man, bash, zsh, fish, documents, user_units, system_units and manifest, all of them
# without $DESTDIR. No path has spaces, quotes or percent signs, because units name the program and
# lists the rest.
set_places() {
    local prefix data path plain='^(/[A-Za-z0-9._+@-]+)+$'
    DESTDIR=${DESTDIR:-}
    DESTDIR=${DESTDIR%/}
    if [[ $DESTDIR && $DESTDIR != /* ]]; then misused "DESTDIR is no absolute path: $DESTDIR"; fi
    if ((system)); then
        prefix=${PREFIX:-/usr/local}
    else
        if [[ ${HOME:-} != /* ]]; then misused "HOME names no directory to install into"; fi
        prefix=${PREFIX:-$HOME/.local}
    fi
    if [[ $prefix != /* ]]; then misused "PREFIX is no absolute path: $prefix"; fi
    # Without double and last slashes; links stay as they are.
    prefix=$(realpath -ms -- "$prefix")
    data=$prefix/share
    if ((!system)) && [[ ! ${PREFIX:-} && ${XDG_DATA_HOME:-} == /* ]]; then
        data=$(realpath -ms -- "$XDG_DATA_HOME")
    fi
    for path in "$prefix" "$data"; do
        if [[ ! $path =~ $plain ]]; then
            misused "units of systemd could not name this directory; it must be an absolute path" \
                "of letters, digits and . _ + @ -: $path"
        fi
    done
    bin=$prefix/bin
    # man looks for share/man beside the bin of the search path.
    man=$prefix/share/man/man1
    bash=$data/bash-completion/completions
    zsh=$data/zsh/site-functions
    fish=$data/fish/vendor_completions.d
    documents=$data/doc/credmount
    manifest=$data/credmount/manifest
    if ((!system)); then
        # For packages in a home directory (systemd.unit(5)); ~/.config/systemd/user is left to the
        # person.
        user_units=$(realpath -ms -- "$HOME/.local/share/systemd/user") system_units=
        if [[ ${XDG_DATA_HOME:-} == /* ]]; then
            user_units=$(realpath -ms -- "$XDG_DATA_HOME/systemd/user")
        fi
    elif [[ $prefix == /usr || $prefix == /usr/local ]]; then
        user_units=$prefix/lib/systemd/user system_units=$prefix/lib/systemd/system
    else
        # systemd looks into no other prefix.
        user_units=/etc/systemd/user system_units=/etc/systemd/system
    fi
}

checksum() {
    local sum
    sum=$(sha256sum -- "$1") || return 1
    # sha256sum puts a backslash before the sum if the name has one or a newline.
    sum=${sum#\\}
    printf '%s\n' "${sum%% *}"
}

# read_manifest: what an earlier run installed. Sets recorded_version, recorded_files and
# recorded_directories (in the order in which they were made), and known["SUM PATH"] for each
# content of ours. A file may have two: then an installation was interrupted.
read_manifest() {
    local kind rest path
    recorded_version='' recorded_files=() recorded_directories=()
    declare -gA known=()
    if [[ ! -e $DESTDIR$manifest ]]; then return; fi
    while read -r kind rest; do
        case $kind in
        version) recorded_version=$rest ;;
        directory) recorded_directories+=("$rest") ;;
        file)
            path=${rest#* }
            known["${rest%% *} $path"]=1
            recorded_files+=("$path")
            ;;
        '#'*) ;;
        *) fail "$DESTDIR$manifest is not a list that scripts/install wrote: $kind $rest" ;;
        esac
    done <"$DESTDIR$manifest"
    mapfile -t recorded_files < <(
        if ((${#recorded_files[@]} > 0)); then printf '%s\n' "${recorded_files[@]}" | sort -u; fi
    )
}

# is_ours PATH: whether the file is as an installation left it.
is_ours() {
    local sum
    [[ -f $DESTDIR$1 && ! -L $DESTDIR$1 ]] || return 1
    sum=$(checksum "$DESTDIR$1") && [[ ${known["$sum $1"]:-} ]]
}

# systemctl_of user|system ARGUMENTS: asks the manager of this machine, quietly; fails where there
# is none, or where files are only staged.
systemctl_of() {
    if [[ $DESTDIR ]] || ! command -v systemctl >/dev/null; then return 1; fi
    systemctl "--$1" "${@:2}" 2>/dev/null
}

# running_units user|system: those of credmount that are active.
running_units() {
    systemctl_of "$1" list-units --plain --no-legend --state=active,activating,reloading \
        'credmount*.service' | awk '{ print $1 }' || true
}

# running_processes: the ids of those that run the installed program, also of an older version.
running_processes() {
    local process exe program
    if [[ $DESTDIR ]]; then return; fi
    program=$(readlink -f -- "$bin/credmount") || return 0
    for process in /proc/[0-9]*; do
        exe=$(readlink -- "$process/exe" 2>/dev/null) || exe=$(exe_as_typed "$process") || continue
        if [[ ${exe% (deleted)} == "$program" ]]; then printf '%s\n' "${process#/proc/}"; fi
    done
}

# exe_as_typed DIR: the program of a process of ours by its first argument. Of a daemon, which keeps
# debuggers out, /proc tells no more than that to anybody but root.
exe_as_typed() {
    local name typed uid
    IFS= read -r name <"$1/comm" && [[ $name == credmount ]] || return 1
    uid=$(awk '$1 == "Uid:" { print $2 }' "$1/status") && [[ $uid == "$UID" ]] || return 1
    IFS= read -r -d '' typed <"$1/cmdline" || return 1
    if [[ $typed != */* ]]; then typed=$(command -v -- "$typed") || return 1; fi
    # Relative to a directory that /proc does not tell either.
    if [[ $typed != /* ]]; then typed=$bin/credmount; fi
    readlink -f -- "$typed"
} 2>/dev/null
