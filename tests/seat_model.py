#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every order of the atomic steps of the driver's seat, in small engines: see seat_model.c.

  tests/seat_model.py                the everyday scenarios, and mutants that must be found
  tests/seat_model.py --deep         the larger ones too: minutes, and gigabytes of memory
  tests/seat_model.py --trail NAME   one of them, step by step if there is a problem

A mutant is a copy of the source with one text replaced; a text that is not there, or not once, is a
failure. How white space is spread in it does not matter.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
# Every place in a frame that holds an old value makes states that differ in nothing else: without
# inlining, and with frame pointers, there are few.
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-g", "-fno-inline", "-fno-omit-frame-pointer",
         "-U_FORTIFY_SOURCE", "-fno-stack-protector"]
SECONDS = 300       # for one scenario
DEEP_SECONDS = 1800
LIMIT = 3000000     # states; more do not belong into the everyday run

# Name: what happens. Unsaid: loops=1 threads=2 conns=2 calls=1, handlers that say nothing.
EVERYDAY = {
    # the start, alone and while connections come in; a thread or the monitor cannot be created
    "start": "loops=2 conns=0 from_start=1",
    "start-fails": "loops=2 threads=3 conns=0 from_start=1 fails=1 fails_early=1",
    "start-serve": "conns=1 from_start=1 accepts=1",
    # one thread: it is the cap; the second must get stuck, and say so
    "cap": "threads=1 calls=2",
    "cap-sticks": "threads=1 handlers=N sticks=1",
    "cap-ends": "conns=1 calls=2 handlers=EE idle_exit=1 monitor_off=1",
    "cap-feeds-idle": "calls=2 handlers=EDPP idle_exit=1 monitor_off=1",
    "cap-feeds": "calls=2 handlers=DPPW monitor_off=1",
    # handlers that say nothing: the monitor's work
    "plain": "",
    "plain-fine": "fine=1",
    "plain-writable": "writable=1",
    "plain-spurious": "idle_exit=1 spurious=1",
    "either": "handlers=EE",
    "needs": "handlers=N",
    "needs-fails": "handlers=N fails=1",
    "needs-idle": "handlers=N idle_exit=1",
    # handlers that say that they block, or are known to: the monitor is not needed
    "declared": "calls=2 handlers=EEEE monitor_off=1",
    "declared-needs": "calls=2 handlers=D monitor_off=1",
    "declared-fails": "handlers=D fails=1",
    "calling": "calls=2 handlers=CC monitor_off=1",
    "habit": "calls=2 handlers=HH monitor_off=1",
    # tasks: from the loop's own handler, from elsewhere
    "posts": "conns=1 handlers=T",
    "posts-foreign": "conns=1 posts=1",
    "posts-awaits": "conns=1 handlers=A",
    # handlers that rest: at the cap they drive
    "rests": "threads=1 handlers=KP monitor_off=1",
    "rests-watched": "threads=1 handlers=KP",
    "rests-loops": "threads=2 loops=2 handlers=KP monitor_off=1",
    "rests-roused": "threads=2 loops=2 handlers=RP monitor_off=1",
    "rests-relieved": "conns=3 handlers=RPE monitor_off=1",
    "rests-fails": "handlers=KP fails=1 monitor_off=1",
    # the end, at any time
    "stop": "conns=1 stop=1",
    "stop-start": "conns=0 stop=1 from_start=1",
    "stop-idle": "conns=1 stop=1 idle_exit=1",
    "stop-fails": "conns=1 stop=1 fails=1",
    "stop-declared": "conns=1 stop=1 handlers=E monitor_off=1",
    # two loops
    "loops": "loops=2",
    "loops-accept": "loops=2 accepts=1",
    "loops-needs": "loops=2 threads=3 handlers=N",
    "loops-declared": "loops=2 threads=3 handlers=EE monitor_off=1",
    # three threads, three connections
    "three": "threads=3",
    "three-needs": "threads=3 handlers=N",
    "three-conns": "threads=3 conns=3 handlers=EEE monitor_off=1",
}

DEEP = {
    "rests-three": "conns=3 handlers=RPP",
    "rests-fails-watched": "handlers=KP fails=1",
    "three-fails": "threads=3 handlers=N fails=1",
    "three-idle": "threads=3 idle_exit=1",
    "three-declared": "threads=3 calls=2 handlers=EEEE monitor_off=1",
    "three-either": "threads=3 handlers=EE",
    "plain-more": "calls=2",
    "posts-both": "conns=1 posts=1 handlers=T",
    "stop-more": "stop=1",
    "loops-three": "loops=2 threads=3",
    "loops-stop": "loops=2 stop=1",
}

# What is planted: where, instead of what, what, and the scenario that must find it.
MUTANTS = {
    "a handler's swap back is not looked at": (
        "seat.c", "memory_order_acquire, memory_order_relaxed))) t->loop = NULL;",
        "memory_order_acquire, memory_order_relaxed))) (void)word;", "plain"),
    "a spare's swap is not looked at": (
        "seat.c", "memory_order_seq_cst, memory_order_relaxed)) return false;",
        "memory_order_seq_cst, memory_order_relaxed)) (void)word;", "plain"),
    "no wake after a push": (
        "loop.c", "if (!head && !micro__seat_held(l))", "if (false)", "plain"),
    "no wake after a push into a loop that was taken over": (
        "seat.c", "atomic_load_explicit(&l->seat, memory_order_seq_cst) == t->word;",
        "true;", "posts-awaits"),
    "the monitor is not woken": (
        "seat.c", "micro__monitor_wake(t->e);", "(void)0;", "plain"),
    "the monitor does not look again before it sleeps": (
        "monitor.c", "if (monitor_look(e, seen))", "if (false)", "plain"),
    "the seat's word becomes visible late": (
        "seat.c", "atomic_store_explicit(&t->loop->seat, t->word, memory_order_seq_cst);",
        "atomic_store_explicit(&t->loop->seat, t->word, memory_order_release);", "plain"),
    "a connection is given back twice": (
        "loop.c", "micro__loop_push(l, &c->link); /* R4 */",
        "micro__loop_push(l, &c->link), micro__loop_push(l, &c->link);", "plain"),
    "a connection is not given back": (
        "loop.c", "micro__loop_push(l, &c->link); /* R4 */", "(void)l;", "plain"),
    "a connection is not marked busy": (
        "seat.c", "l->current->busy = true;", "l->current->busy = false;", "declared"),
    "what comes for a busy connection is forgotten": (
        "loop.c", "c->pending |= ev->what;", "c->pending |= 0;", "declared"),
    "words repeat": (
        "seat.c", "(t->word + MICRO__SEAT_STEP)", "(t->word)", "needs"),
    "a thread that could not be created stays asked for": (
        "seat.c", "l->asked = 0; /* somebody may try again */", "l->asked = word;", "needs-fails"),
    "who parks does not look for a loop without a thread": (
        "seat.c", "bool stay = seat_feed(e, t) != NULL;", "bool stay = false;", "cap-feeds"),
    "a thread that is on its way counts as one in a handler": (
        "seat.c", "full = l->hungry == word;", "full = true;", "cap-ends"),
    "nobody takes the place of a thread that ends": (
        "seat.c", "micro__loop *hungry = seat_hungry(e);", "micro__loop *hungry = NULL;",
        "cap-feeds-idle"),
    "who rests is not sent to a loop without a thread": (
        "seat.c", "if (!seat_feed(e, t)) seat_rest_wait(t, until);",
        "seat_rest_wait(t, until);", "rests"),
    "who has driven while resting does not pass the seat on": (
        "seat.c", "if (seat_take(t) && micro__loop_help(t, until)) seat_pass(t);",
        "if (seat_take(t)) micro__loop_help(t, until);", "rests"),
    "who rests begins handlers": (
        "seat.c", "t->rests = true;", "t->rests = false;", "rests"),
    "who parks does not relieve who rests": (
        "seat.c", "seat_tell(e);", "(void)e;", "rests-relieved"),
    "who is roused while driving is not woken": (
        "seat.c", "if (t->helps) micro__poller_wake(&t->helps->poller);", "(void)e;",
        "rests-roused"),
    "a spare does not see that all has ended": (
        "seat.c",
        "for (micro__thread *t = e->spare; t; t = t->parked) micro__cond_signal(&t->wake);",
        "(void)e;", "stop"),
}


def replace_once(text, old, new):
    """None: old is not there, or more than once."""
    pattern = re.compile(r"\s+".join(re.escape(word) for word in old.split()))
    if len(pattern.findall(text)) != 1:
        return None
    return pattern.sub(lambda match: new, text)


def source(folder, mutant):
    """The include folder of the source, or of a copy with a mutant in it; None: it cannot be."""
    src = os.path.join(ROOT, "src")
    if not mutant:
        return src
    file, old, new, _ = MUTANTS[mutant]
    copy = os.path.join(folder, "src")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(src, copy)
    shutil.copy(os.path.join(ROOT, "micro.h"), folder)
    path = os.path.join(copy, "net", file)
    with open(path, encoding="utf-8") as f:
        text = replace_once(f.read(), old, new)
    if text is None:
        return None
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return copy


def compile_c(folder, output, *rest):
    command = [os.environ.get("CC", "cc"), *FLAGS, "-I" + HERE, "-o",
               os.path.join(folder, output), *rest]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)


def build(folder, mutant=None):
    """The program; None if the mutant's text is not in the source."""
    include = source(folder, mutant)
    if not include:
        return None
    search = os.path.join(folder, "search.o")
    if not os.path.exists(search):
        compile_c(folder, "search.o", "-c", os.path.join(HERE, "seat_model_search.c"))
    compile_c(folder, "model", "-I" + include, os.path.join(HERE, "seat_model.c"), search)
    return os.path.join(folder, "model")


def run(program, what, seconds, *options):
    """Its exit code and output; a program that takes too long has failed."""
    try:
        done = subprocess.run([program, *options, *what.split()], capture_output=True, text=True,
                              timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return 3, "more than %d seconds" % seconds
    return done.returncode, (done.stdout + done.stderr).strip()


def test_scenario(program, name, what, deep):
    """(states, steps), and what went wrong."""
    options = [] if deep else ["--limit=%d" % LIMIT]
    start = time.monotonic()
    code, text = run(program, what, DEEP_SECONDS if deep else SECONDS, *options)
    print("%-16s %5.1f s  %s" % (name, time.monotonic() - start, text.split("\n")[0]))
    counts = re.match(r"(\d+) states, (\d+) steps", text)
    numbers = (int(counts[1]), int(counts[2])) if counts else (0, 0)
    return numbers, text.split("\n")[-1] if code else None


def test_mutant(folder, name):
    program = build(folder, name)
    if not program:
        return "its text is not in %s, or not once" % MUTANTS[name][0]
    scenario = MUTANTS[name][3]
    code, text = run(program, EVERYDAY[scenario], SECONDS, "--limit=%d" % LIMIT)
    if code != 1:
        return "not found: %s" % text
    print("found: %s\n       %s" % (name, text.split("\n")[-1].replace("PROBLEM: ", "")))
    return None


def main():
    names = sys.argv[sys.argv.index("--trail") + 1:] if "--trail" in sys.argv else []
    scenarios = dict(EVERYDAY, **(DEEP if "--deep" in sys.argv or names else {}))
    problems, tests, states, steps = [], 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        program = build(folder)
        if names:
            command = [program, "--trail", *scenarios[names[0]].split()]
            return subprocess.run(command, check=False).returncode
        for name, what in scenarios.items():
            numbers, problem = test_scenario(program, name, what, name in DEEP)
            states, steps, tests = states + numbers[0], steps + numbers[1], tests + 1
            if problem:
                problems.append("%s: %s" % (name, problem))
        print("%d scenarios: %d states, %d steps" % (len(scenarios), states, steps))
        failing = [problem.split(":")[0] for problem in problems]
        for name, mutant in MUTANTS.items():
            problem = ("%s fails without it" % mutant[3] if mutant[3] in failing
                       else test_mutant(folder, name))
            tests += 1
            if problem:
                problems.append("%s: %s" % (name, problem))
    for problem in problems:
        print("FAIL  " + problem)
    print("%d passed, %d failed" % (tests - len(problems), len(problems)))
    return problems != []


if __name__ == "__main__":
    sys.exit(main())
