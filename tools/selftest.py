# SPDX-License-Identifier: MIT
"""Proves the tools: a planted violation of every rule must be found, in a small tree made here and
in a copy of the real one; and the small tree is joined as amalgamate.py says."""

import lint
from tree import Tree

LICENCE = "/* SPDX-License-Identifier: MIT */\n"

SMALL = {
    "micro.h": LICENCE + """/* A header. */
#ifndef MICRO_H
#define MICRO_H
#ifndef MICRO_API
#define MICRO_API extern
#endif
#define MICRO_VERSION_MAJOR 1
#define MICRO_VERSION_MINOR 2
#define MICRO_VERSION_PATCH 3
#define MICRO_ERRORS_(X) \\
    X(ENOMEM, -1, "out of memory")

/* Sum, in { braces } that do not count. [- | ENOMEM | any] */
MICRO_API int micro_sum(int a, int (*fn)(int b));
MICRO_API const int micro_limit, micro_other;

#endif
""",
    "src/base/base.h": LICENCE + """/* Base. */
#ifndef MICRO_BASE_H
#define MICRO_BASE_H
#include "../../micro.h"
#include <stdio.h>
#define MICRO_PRIVATE extern
#define MICRO_PRIVATE_DEF
typedef struct micro__thing { int a, b[3]; } micro__thing;
__extension__ typedef unsigned __int128 micro__u128;
_Static_assert(sizeof(micro__thing) == 16, "size");
enum { MICRO__ONE = 1, MICRO__TWO };
MICRO_PRIVATE int micro__base_twice(int a, void (*fn)(void *arg), void *arg);
MICRO_PRIVATE const int micro__base_table[2];
static inline int micro__base_once(int a) { return a; }
#endif
""",
    "src/base/twice.c": LICENCE + """/* Twice; "{" and '{' do not count. */
#include "base.h"
#include <stdio.h>
#if defined(__linux__)
#include <limits.h>
#endif
#define TWICE_FACTOR 2
#define GENERIC 1
const int micro_limit = 1, micro_other = 2;
MICRO_PRIVATE_DEF const int micro__base_table[2] = { TWICE_FACTOR, GENERIC };
static const char *const twice_names[] = { "{", ";" };
static int twice_helper(int a);
MICRO_PRIVATE int micro__base_twice(int a, void (*fn)(void *arg), void *arg)
{
    fn(arg);
    return twice_helper(a) * (int)twice_names[0][0];
}
static int twice_helper(int a)
{
    return a * TWICE_FACTOR;
}
#undef GENERIC
""",
    "src/os/sum.c": LICENCE + """/* Sum. */
#include "../base/base.h"
#include <sys/types.h>
#include <zlib.h> /* amalgamate: keep */
#define GENERIC 2
MICRO_API int micro_sum(int a, int (*fn)(int b))
{
    return micro__base_twice(a, NULL, NULL) + fn(GENERIC);
}
#undef GENERIC
""",
}


def source(text, name="src/base/planted.c"):
    """Plants a file of its own."""
    def plant(files):
        files[name] = LICENCE + "/* Planted. */\n" + text
    return plant


def two(text):
    """Plants the same text in two files."""
    def plant(files):
        source(text, "src/base/planted_a.c")(files)
        source(text, "src/codec/planted_b.c")(files)
    return plant


def including(folder, other):
    """Plants an include over a border."""
    def plant(files):
        header = "#ifndef PLANTED_H\n#define PLANTED_H\n#endif\n"
        source(header, "src/%s/planted.h" % other)(files)
        source('#include "../%s/planted.h"\n' % other, "src/%s/planted.c" % folder)(files)
    return plant


def header(text):
    """Plants a header and somebody who includes it."""
    def plant(files):
        source(text, "src/base/planted.h")(files)
        source('#include "planted.h"\n')(files)
    return plant


def public(text):
    """Plants text at the end of micro.h."""
    def plant(files):
        body, endif, rest = files["micro.h"].rpartition("#endif")
        files["micro.h"] = body + text + "\n" + endif + rest
    return plant


def both(*plants):
    return lambda files: [plant(files) for plant in plants]


def function(name, lines):
    return "static void %s(void)\n{\n%s}\n" % (name, "    ;\n" * (lines - 3))


def long_functions(files):
    """As many functions of 41 lines as there may be functions in the tree."""
    count = sum(text.count("\n{\n") for path, text in files.items() if path.startswith("src/")) + 9
    for i in range(count):
        source(function("planted_%d" % i, 41), "src/base/planted_%d.c" % i)(files)


def lone_header(files):
    source("#ifndef PLANTED_H\n#define PLANTED_H\n#endif\n", "src/base/planted.h")(files)


def shared_guard(files):
    body = "#ifndef PLANTED_H\n#define PLANTED_H\n#endif\n"
    source(body, "src/base/planted.h")(files)
    source(body, "src/base/planted2.h")(files)
    source('#include "planted.h"\n#include "planted2.h"\n')(files)


DECLARED = "/* Planted. [- | - | any] */\nMICRO_API int micro_planted(void);\n"
DEFINED = "MICRO_API int micro_planted(void)\n{\n    return 0;\n}\n"

PLANTS = [
    ("api-defined", "declared, not defined", public(DECLARED)),
    ("api-defined", "defined twice", both(public(DECLARED), two(DEFINED))),
    ("api-defined", "data not defined", public("MICRO_API const int micro_a, micro_b;\n")),
    ("marked", "function without mark", source("int micro__planted(void)\n{\n    return 0;\n}\n")),
    ("marked", "internal with a public name", source(DEFINED.replace("API", "PRIVATE"))),
    ("marked", "MICRO_API not in micro.h", source(DEFINED)),
    ("marked", "public without mark",
     both(public(DECLARED), source(DEFINED.replace("MICRO_API ", "")))),
    ("marked", "data without mark", source("int micro__planted = 3;\n")),
    ("marked", "table in src", source('MICRO_TYPE(planted, "P", MICRO_FIELD(bool, p, b, 1));\n')),
    ("marked", "prototype in a header",
     header("#ifndef PLANTED_H\n#define PLANTED_H\nint micro__planted(void);\n#endif\n")),
    ("unique", "static function", two(function("planted_f", 4))),
    ("unique", "static data", two("static const char *planted_names[] = { \"a\" };\n")),
    ("unique", "type", two("typedef struct { int a; } planted_type;\n")),
    ("unique", "tag", two("struct planted_tag { int a; };\n")),
    ("unique", "enumerator", two("enum { PLANTED_A = 1 << 2, PLANTED_B };\n")),
    ("unique", "macro", two("#define PLANTED_MACRO 1\n")),
    ("unique", "a name of micro.h", source("#define MICRO_VERSION_MAJOR 1\n")),
    ("layers", "upwards", including("base", "os")),
    ("layers", "codec to os", including("codec", "os")),
    ("layers", "net to codec", including("net", "codec")),
    ("layers", "registry to transport", including("registry", "transport")),
    ("layers", "client to server", including("client", "server")),
    ("layers", "service to toolkit", including("service", "toolkit")),
    ("system-headers", "sockets in base", source("#include <sys/socket.h>\n")),
    ("system-headers", "threads.h", source("#include <threads.h>\n", "src/net/planted.c")),
    ("includes", "inside an #if", source('#if 1\n#include "base.h"\n#endif\n')),
    ("includes", "missing", source('#include "nowhere.h"\n')),
    ("includes", "no guard", header("struct planted_s;\n")),
    ("includes", "guard of another", shared_guard),
    ("includes", "unused header", lone_header),
    ("includes", "unknown folder", source("", "src/elsewhere/planted.c")),
    ("includes", "half a block", source("static void planted(void)\n{\n#if 1\n    {\n#endif\n}\n")),
    ("includes", "a .c file", both(source(""), source('#include "planted.c"\n',
                                                     "src/base/planted2.c"))),
    ("lengths", "file", source("\n" * 700)),
    ("lengths", "function", source(function("planted_long", 81))),
    ("lengths", "many functions", long_functions),
    ("columns", "long line", source("/* %s */\n" % ("x" * 95))),
    ("columns", "tab", source("\tstruct planted_s;\n")),
    ("columns", "trailing blank", source("struct planted_s; \n")),
    ("opening", "no licence", lambda files: files.update({"src/base/planted.c": "/* x */\n"})),
    ("opening", "no purpose",
     lambda files: files.update({"src/base/planted.c": LICENCE + "struct planted_s;\n"})),
    ("ownership", "no comment", both(public("\n" + DECLARED.split("\n")[1] + "\n"),
                                     source(DEFINED))),
    ("ownership", "two fields", both(public("\n" + DECLARED.replace("- | any", "any")),
                                     source(DEFINED))),
    ("ownership", "unknown error", both(public("\n" + DECLARED.replace("- | any", "ENOPE | any")),
                                        source(DEFINED))),
] + [("words", word, source("/* %s */\n" % word)) for word in lint.WORDS] + [
    ("words", path, source("/* see %sx */\n" % path)) for path in lint.MACHINE_PATHS]


def findings(tree):
    """(rule, message) of every lint."""
    return {(name, message) for name, rule in lint.RULES for message in rule(tree)}


def copy(files):
    tree = Tree.__new__(Tree)
    tree.root, tree.files = "", dict(files)
    return tree


def check_plants(name, files, alone):
    """Plants one violation after the other. alone: no other rule may find anything."""
    before = findings(copy(files))
    failures = ["%s: %s is found in a clean tree" % (name, m) for _, m in before if alone]
    for rule, what, plant in PLANTS:
        tree = copy(files)
        plant(tree.files)
        new = findings(tree) - before
        if not any(found == rule for found, _ in new):
            failures.append("%s: planted '%s' (%s) is not found" % (name, what, rule))
        if alone:
            failures += ["%s: planted '%s' (%s) gives %s: %s" % (name, what, rule, found, message)
                         for found, message in new if found != rule]
    return failures


def check_joining(generate, check_bytes):
    """The small tree's micro.c has what the rules of joining say."""
    text = generate(copy(SMALL))
    head = text[:text.index("/* ---- src/")]
    expected = [
        ("stdio.h once, at the top", head.count("#include <stdio.h>\n") == 1
         and text.count("\n#include <stdio.h>\n") == 1),
        ("system header at the top", "\n#include <sys/types.h>\n" in head),
        ("nested include in place", "<limits.h>" not in head
         and "#if defined(__linux__)\n#include <limits.h>\n#endif" in text),
        ("kept include in place", "<zlib.h>" not in head and "\n#include <zlib.h>\n" in text),
        ("micro.h first", head.index('#include "micro.h"') < head.index("#include <stdio.h>")),
        ("micro.h once", text.count('\n#include "micro.h"') == 1),
        ("header once", text.count("typedef struct micro__thing") == 1),
        ("later include a comment", '/* #include "../base/base.h" */' in text),
        ("folders in order", text.index("src/base/twice.c") < text.index("src/os/sum.c")),
        ("feature macros before includes", head.index("_GNU_SOURCE") < head.index("#include")),
        ("banner", "micro 1.2.3" in head and "DO NOT EDIT." in head),
        ("same again", text == generate(copy(SMALL))),
        ("#line", '\n#line 2 "src/os/sum.c"\n' in generate(copy(SMALL), line=True)),
        ("no #line", "#line" not in text),
    ]
    changed = copy(dict(SMALL, **{"micro.c": text}))
    expected.append(("bytes agree", not list(check_bytes(changed))))
    changed.files["src/os/sum.c"] += "\n"
    expected.append(("bytes differ", list(check_bytes(changed))))
    expected.append(("hash follows inputs", generate(changed).split("\n")[5] != text.split("\n")[5]))
    return ["joining: " + what for what, good in expected if not good], len(expected)


def run(root, generate, check_bytes):
    """True if every planted violation was found."""
    failures, count = check_joining(generate, check_bytes)
    failures += check_plants("small tree", SMALL, alone=True)
    failures += check_plants("project", Tree(root).files, alone=False)
    missing = {name for name, _ in lint.RULES} - {rule for rule, _, _ in PLANTS}
    failures += ["rule %s has no plant" % rule for rule in missing]
    for failure in failures:
        print("FAIL  self-test " + failure)
    total = count + 2 * len(PLANTS)
    print("%d passed, %d failed" % (max(total - len(failures), 0), len(failures)))
    return not failures
