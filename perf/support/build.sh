# SPDX-License-Identifier: ISC
# build.sh - what the commands of perf have in common: checking arguments, installing, building. To be sourced, with
# `program` set to the caller's name.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$root/build-perf

# stop STATUS TEXT: one line, and the end.
stop() {
    echo "$program: $2" >&2
    exit "$1"
}

# The comment at the top of the caller is its help text.
show_help() {
    sed -n '3,/^$/s/^# \{0,1\}//p' "$0"
    exit 0
}

# ---- Arguments: wrong ones are named before anything is installed or built ----

must_follow() { # OPTION NUMBER-OF-ARGUMENTS-LEFT WHAT
    [[ $2 -ge 2 ]] || stop 2 "$1 wants $3 after it"
}

must_be_count() { # OPTION VALUE MOST
    [[ $2 =~ ^[1-9][0-9]{0,9}$ && $2 -le $3 ]] || stop 2 "$1 wants numbers from 1 to $3, not '$2'"
}

must_be_list() { # OPTION VALUE MOST
    [[ $2 =~ ^[0-9]+(,[0-9]+){0,15}$ ]] || stop 2 "$1 wants up to 16 numbers with commas between them, not '$2'"
    local number
    for number in ${2//,/ }; do
        must_be_count "$1" "$number" "$3"
    done
}

must_be_label() { # OPTION VALUE
    [[ $2 != *[,\"]* ]] || stop 2 "$1 wants a text without commas and quotes, not '$2'"
}

must_be_readable() { # FILE
    [[ -e $1 ]] || stop 2 "cannot read '$1': there is no such file"
    [[ ! -d $1 ]] || stop 2 "cannot read '$1': it is a directory"
    [[ -r $1 ]] || stop 2 "cannot read '$1': permission denied"
}

# ---- Installing and building ----

missing_packages() { # PACKAGE...
    local package
    for package; do
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
    done
}

# Runs a command quietly; what it had to say comes out only if it fails.
quietly() { # WHAT COMMAND...
    local what=$1 log
    shift
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        stop 1 "$what failed"
    fi
    rm -f "$log"
}

as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    else
        sudo "$@"
    fi
}

install_missing() { # PACKAGE...
    command -v dpkg-query >/dev/null || return 0 # not a Debian: the build will say what it lacks
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [[ ${#missing[@]} -gt 0 ]] || return 0
    [[ $EUID -eq 0 ]] || command -v sudo >/dev/null || stop 1 "needs root to install: ${missing[*]}"
    echo "$program: installing ${missing[*]}" >&2
    quietly "apt-get update" as_root apt-get update
    quietly "apt-get install" as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "${missing[@]}"
}

build_packages=(meson ninja-build gcc libc6-dev pkg-config liburcu-dev libjemalloc-dev uthash-dev)

build_options=(-Dperf=enabled -Dtests=disabled -Djemalloc=enabled)

build_program() { # NAME...
    if [[ ! -f $build/build.ninja ]]; then
        echo "$program: building in $build" >&2
        quietly "meson setup" meson setup "$build" "$root" --buildtype=release "${build_options[@]}"
    fi
    quietly "ninja" ninja -C "$build" "${@/#/perf/}"
}

# What the build is called in reports: its commit.
build_label() {
    git -C "$root" describe --always --dirty 2>/dev/null || echo unnamed
}
