#!/bin/bash
# SPDX-License-Identifier: MIT
# Installs the Debian packages that a list names and that are not there: test-deps.sh LIST
set -eu
missing=()
while read -r package command _; do
    case $package in '' | '#'*) continue ;; esac
    if [ -n "$command" ]; then
        command -v "$command" >/dev/null || missing+=("$package")
    elif ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed'; then
        missing+=("$package")
    fi
done <"$1"
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
as_root=
if [ "$(id -u)" -ne 0 ]; then
    as_root=sudo
    command -v sudo >/dev/null || { echo "as root, install: ${missing[*]}" >&2; exit 1; }
fi

$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null
