#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the built libraries bring into a program: only micro_* is visible, and only the variables
listed in tests/nm-allow.txt can be written."""

import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build")
PUBLIC = re.compile(r"micro_[a-z]\w*$")
# .data.rel.ro is constant but for relocation.
WRITABLE = re.compile(r"\.(t?data|t?bss)(?!\.rel\.ro)\b|\*COM\*")


def allowed():
    """Names of variables; what follows a name is the reason for it."""
    with open(os.path.join(ROOT, "tests", "nm-allow.txt"), encoding="utf-8") as f:
        return {line.split()[0] for line in f if line.strip() and line[0] != "#"}


def visible(path, dynamic):
    """Symbols that other objects see."""
    options = ["-D"] if dynamic else []
    out = subprocess.run(["nm", *options, "-g", "--defined-only", "-P", path], check=True,
                         capture_output=True, text=True).stdout
    return [line.split()[0] for line in out.splitlines() if len(line.split()) > 2]


def writable(path):
    """Variables in sections that can be written, local ones included. The compiler's numbering of
    a static inside a function (name.1234) is left out."""
    out = subprocess.run(["objdump", "-t", path], check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^\S+ .{7} (\S+)\t(\S+)\s+(?:\.hidden )?(\S+)$", out, re.MULTILINE)
    return sorted({re.sub(r"\.\d+$", "", name) for section, size, name in found
                   if WRITABLE.match(section) and int(size, 16) and not name.startswith(".")})


def main():
    library = os.path.join(BUILD, "libmicro.a")
    shared = glob.glob(os.path.join(BUILD, "libmicro.so.*"))[0]
    allow, found = allowed(), writable(library)
    checks = [
        ("static library shows only micro_*",
         [n for n in visible(library, False) if not PUBLIC.match(n)]),
        ("shared library shows only micro_*",
         [n for n in visible(shared, True) if not PUBLIC.match(n)]),
        ("both show the same",
         sorted(set(visible(library, False)) ^ set(visible(shared, True)))),
        ("variables are listed in nm-allow.txt", [n for n in found if n not in allow]),
        ("nm-allow.txt lists nothing else", sorted(allow - set(found))),
        ("something is shown", [] if "micro_version" in visible(library, False) else ["nothing"]),
    ]
    for what, wrong in checks:
        print("%s  %s%s" % ("FAIL" if wrong else "ok  ", what, ": " + " ".join(wrong) if wrong
                            else ""))
    failed = sum(bool(wrong) for _, wrong in checks)
    print("%d passed, %d failed" % (len(checks) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
