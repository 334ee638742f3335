#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the documents show is true: their C and C++ compiles, their commands run and print what
stands below them, their links lead somewhere.

The C blocks of a page are one file, in their order. Programs (with a main) stand alone, but the
first may be what the others build on; indented blocks are statements inside a function, and what
they use without declaring it is listed in GIVEN. A ```sh block is run if a ```text block with its
output follows; of other commands, make's targets must exist.
"""

import glob
import os
import re
import signal
import subprocess
import sys
import tempfile

from programs import BUILD, enter_network, ROOT

LIBRARY = [path for path in (os.path.join(BUILD, "libmicro.a"),
                             os.path.join(os.path.dirname(BUILD), "libmicro.a"))
           if os.path.exists(path)][0]
PAGES = ["README.md", "SECURITY.md", "CHANGELOG.md", "tests/README.md"] + sorted(
    os.path.relpath(path, ROOT) for path in glob.glob(os.path.join(ROOT, "docs", "*.md")))
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror",
            "-Wno-unused-function"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MAIN = re.compile(r"^int main\(", re.MULTILINE)
PREAMBLE = '#include "micro.h"\n#include <stdio.h>\n#include <stdlib.h>\n#line 1 "%s"\n'
# What statements may use: page -> declarations; names that a block declares itself are left out.
GIVEN = {
    "README.md": {"ctx": "micro_ctx *ctx = micro_ctx_new(NULL);"},
    "docs/guide.md": {"ctx": "micro_ctx *ctx = micro_ctx_new(NULL);",
                      "req": "find_req req = { { \"\", 0 } };", "rsp": "find_rsp rsp;"},
    "docs/embedding.md": {"svc": "micro_service *svc = NULL;"},
}
DECLARED = r"\b(?:const )?\w+ \*?%s\b(?= =|;|,)"


def read(page):
    with open(os.path.join(ROOT, page), encoding="utf-8") as f:
        return f.read()


def blocks(page):
    """(language, text, number of its first line)"""
    text = read(page)
    return [(m.group(1), m.group(2), text.count("\n", 0, m.start()) + 2)
            for m in BLOCK.finditer(text)]


def run(command, **more):
    return subprocess.run(command, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, timeout=120, **more)


def statements(page, text, line):
    """A function around them, with what the page gives them."""
    given = [how for name, how in GIVEN.get(page, {}).items()
             if re.search(r"\b%s\b" % name, text) and not re.search(DECLARED % name, text)]
    return 'static micro_err statements_%d(void)\n{\n%s\n#line %d "%s"\n%s    return err;\n}\n' % (
        line, "\n".join(given), line, page, text)


def is_program(text):
    return MAIN.search(text) is not None


def compiled(folder, page, language, parts, linked):
    """None, or what the compiler says. parts: texts with their first lines."""
    source = os.path.join(folder, "page." + language)
    with open(source, "w", encoding="utf-8") as f:
        for text, line in parts:
            f.write('#line %d "%s"\n%s' % (line, page, text))
    compiler = os.environ.get("CC", "cc") if language == "c" else os.environ.get("CXX", "c++")
    command = [compiler, "-std=c11" if language == "c" else "-std=c++17", *WARNINGS, "-I" + ROOT,
               source]
    if linked:
        command += [LIBRARY, "-lpthread", "-o", source + ".out"]
    else:
        command += ["-c", "-o", os.devnull]
    built = run(command)
    return built.stdout if built.returncode else None


def check_code(page):
    """(what, None or complaint) for the programs and for the rest of a page, by language."""
    for language, name in (("c", "C"), ("cpp", "C++")):
        found = [(text, line) for kind, text, line in blocks(page) if kind == language]
        rest = [(statements(page, text, line) if text.startswith("    ") else text, line)
                for text, line in found if not is_program(text)]
        with tempfile.TemporaryDirectory() as folder:
            for text, line in found:
                if is_program(text):
                    yield ("%s:%d: %s program" % (page, line, name),
                           compiled(folder, page, language, [(text, line)], True))
            if rest:
                start = [] if rest[0][0].startswith("#include") else [(PREAMBLE % page, 1)] + [
                    (MAIN.sub("int first_main(", text), line) for text, line in found[:1]
                    if is_program(text)]
                yield "%s: %s" % (page, name), compiled(folder, page, language, start + rest, False)


def check_run(page):
    """Commands with their output below. The page's first program is greeter.c."""
    found = blocks(page)
    greeter = [text for kind, text, _ in blocks("README.md") if kind == "c" and is_program(text)][0]
    for (kind, text, line), (after, output, _) in zip(found, found[1:]):
        if kind != "sh" or after != "text":
            continue
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "greeter.c"), "w", encoding="utf-8") as f:
                f.write(greeter)
            for name in ("micro.c", "micro.h"):
                os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))
            yield "%s:%d: commands" % (page, line), run_shell(folder, text, output)


def run_shell(folder, text, output):
    """The commands as typed; what was started with & gets a moment, and is ended after."""
    ready = "for i in $(seq 100); do micro list services | grep -q . && break; done\n"
    script = "set -e\n" + re.sub(r"&$", "&\n" + ready.replace("\\", "\\\\"), text,
                                 flags=re.MULTILINE)
    env = dict(os.environ, PATH=BUILD + os.pathsep + os.environ["PATH"])
    process = subprocess.Popen(["sh", "-c", script], cwd=folder, env=env, text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True)
    try:
        process.wait(timeout=120)
        end(process, signal.SIGTERM)
        said = process.communicate(timeout=60)[0]
    except subprocess.TimeoutExpired as error:
        said = str(error)
        end(process, signal.SIGKILL)
    return None if said == output and process.returncode == 0 else (
        "exit code %s, %r, not %r" % (process.returncode, said, output))


def end(process, number):
    """Signals the shell and what it has started."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def check_make(page):
    """Targets of make exist."""
    for kind, text, line in blocks(page):
        if kind != "sh":
            continue
        for target in re.findall(r"(?:^|&& )make ([a-z][-a-z]*)", text, re.MULTILINE):
            ran = run(["make", "-n", "-o", "all", target], cwd=ROOT)
            missing = "No rule to make target '%s'" % target in ran.stdout
            yield "%s:%d: make %s" % (page, line, target), ran.stdout if missing else None


def anchors(page):
    """As the usual renderers make them of headings."""
    text = BLOCK.sub("", read(page))
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-")
            for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


def check_links(page):
    """Every link to a file of the project, and to a heading, leads somewhere."""
    wrong = []
    text = BLOCK.sub("", read(page))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+://", target):
            continue
        path, _, heading = target.partition("#")
        to = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        if not os.path.exists(os.path.join(ROOT, to)):
            wrong.append(target)
        elif heading and heading not in anchors(to):
            wrong.append(target)
    return "broken: " + " ".join(wrong) if wrong else None


TEST_NAMED = r"^(?:TEST\(|TEST_OF_THREADS\(\w+, |def |(?=[\w-]+:))%s\b"


def check_evidence():
    """Every row of docs/features.md names tests, and they exist: a name is one of the file before
    it."""
    wrong = []
    for row in re.findall(r"^\| (?!feature \|)(.*) \|$", read("docs/features.md"), re.MULTILINE):
        what, _, evidence = row.rpartition(" | ")
        path = None
        for word in re.findall(r"`([^`]+)`", evidence):
            if word.startswith("tests/"):
                path = word if os.path.exists(os.path.join(ROOT, word)) else None
                wrong += [] if path else [word]
            elif path and not re.search(TEST_NAMED % word, read(path), re.MULTILINE):
                wrong.append("%s: %s" % (path, word))
        wrong += [] if "`tests/" in evidence else ["a test for: " + what]
    return "missing: " + ", ".join(wrong) if wrong else None


def check_greeter():
    """The first program of the README is the example."""
    first = [text for kind, text, _ in blocks("README.md") if kind == "c"][0]
    example = read("examples/greeter/greeter.c")
    if example.split("\n", 2)[2] == first:  # behind the licence and the purpose
        return None
    return "it is not examples/greeter/greeter.c"


def checks():
    yield "README.md: greeter", check_greeter()
    yield "docs/features.md: evidence", check_evidence()
    for page in PAGES:
        yield page + ": links", check_links(page)
        yield from check_code(page)
        yield from check_run(page)
        yield from check_make(page)


def main():
    enter_network()
    passed = failed = 0
    for what, complaint in checks():
        if complaint is None:
            passed += 1
        else:
            print("FAIL  %s: %s" % (what, complaint))
            failed += 1
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
