#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs fuzzers, each of which is one test.
#   fuzz.sh replay FUZZER...           the corpus and fixed mutations of it, in fuzz_main.c's driver
#   fuzz.sh search SECONDS FUZZER...   libFuzzer for so many seconds each; new inputs are not kept
set -u
mode=$1
shift
if [ "$mode" = search ]; then
    seconds=$1
    shift
fi
passed=0 failed=0
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT

fuzzers=("$@")
for fuzzer in "${fuzzers[@]}"; do
    name=$(basename "$fuzzer")
    name=${name#smoke_}
    name=${name#fuzz_}
    corpus=tests/corpus/$name
    if [ ! -d "$corpus" ]; then
        echo "FAIL  $name: there is no $corpus"
        failed=$((failed + 1))
        continue
    fi
    if [ "$mode" = search ]; then
        new=$(mktemp -d "$found/new.XXXXXX")
        set -- -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
            -artifact_prefix="build/crash-$name-" "$new" "$corpus"
    else
        set -- "$corpus"
    fi
    if "$fuzzer" "$@" </dev/null >"$found/log" 2>&1; then
        grep -E 'number_of_executed_units|inputs' "$found/log" | sed "s/^/ok    $name: /"
        passed=$((passed + 1))
    else
        tail -n 60 "$found/log"
        echo "FAIL  $name"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
