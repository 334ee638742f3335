# SPDX-License-Identifier: MIT
"""The rules that the compiler does not check. Each is a function that yields its findings."""

import re

from cscan import blank, line_of, type_names
from tree import FOLDERS, folder_of

MAX_FILE_LINES = 700
MAX_FUNCTION_LINES = 80
MAX_COLUMNS = 100
P90_FUNCTION_LINES = 40

_PLUGINS = {"registry", "selector", "transport", "broker"}
_ENDS = {"client", "server"}
_LOW = {"base", "codec", "os", "net"}
# What a folder may include besides itself.
LAYERS = {
    "base": set(),
    "codec": {"base"},
    "os": {"base"},
    "net": {"base", "os"},
    "stream": set(_LOW),
    "service": _LOW | _PLUGINS | _ENDS | {"stream"},
    "toolkit": _LOW | _PLUGINS | _ENDS | {"stream", "service"},
}
LAYERS.update({name: set(_LOW) for name in _PLUGINS})
LAYERS["selector"].add("registry")  # it keeps what a registry says
LAYERS["broker"] |= {"registry", "selector"}  # it finds subscribers there
LAYERS.update({name: _LOW | _PLUGINS | {"stream"} for name in _ENDS})

# ISO C11, less threads.h, which is not everywhere.
ISO_HEADERS = {name + ".h" for name in (
    "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal "
    "stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath time "
    "uchar wchar wctype").split()}

# The compiler's own, used where it says that it has them.
COMPILER_HEADERS = {"emmintrin.h"}

# In two pieces, or this file would be found.
WORDS = ["TO" + "DO", "FIX" + "ME", "XX" + "X"]
MACHINE_PATHS = ["/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/"]

# Macros of micro.h that define external objects: for users, not for src.
DEFINING_MACROS = ("MICRO_TYPE", "MICRO_TYPE_NONE", "MICRO_ENUM")


def at(path, line, text):
    return "%s:%d: %s" % (path, line, text)


def is_c(path):
    return path.endswith((".c", ".h")) and path.startswith(("src/", "tests/", "examples/"))


def public_names(tree):
    """Names declared MICRO_API in micro.h -> (line, kind)."""
    found = {}
    for item in tree.scan("micro.h").items:
        if item.words[:1] == ["MICRO_API"]:
            for name in item.names:
                found[name] = (item.first, item.kind)
    return found


def api_defined(tree):
    """Every MICRO_API of micro.h is defined once in src."""
    public = public_names(tree)
    places = {name: [] for name in public}
    for path in tree.sources((".c",)):
        for item in tree.scan(path).items:
            if item.kind == "function" or (item.kind == "data" and "=" in item.head):
                for name in item.names:
                    if name in places and not item.static:
                        places[name].append(at(path, item.first, "defined here"))
    for name, where in places.items():
        if len(where) != 1:
            yield at("micro.h", public[name][0], "%s is defined %d times in src%s" % (
                name, len(where), "".join("; " + w for w in where)))


def marked(tree):
    """What is not static is MICRO_PRIVATE micro__x, or MICRO_API micro_x and in micro.h."""
    public = public_names(tree)
    for path in tree.sources():
        for item in tree.scan(path).items:
            if item.kind == "macro call":
                if item.words[0] in DEFINING_MACROS:
                    yield at(path, item.first, item.words[0] + " defines external objects")
            elif item.kind != "type" and not item.static:
                for name in item.names:
                    problem = mark_problem(item, name, public, path.endswith(".h"))
                    if problem:
                        yield at(path, item.first, "%s %s" % (name, problem))


def mark_problem(item, name, public, header):
    """What is wrong with the mark or the name of something external; None if nothing is."""
    mark = item.words[0]
    if name in public:
        # A definition of data cannot be extern; functions carry the mark in both places.
        bare = item.kind == "data" and "=" in item.head
        return None if mark.startswith("MICRO_API") or bare else "is public: mark it MICRO_API"
    if mark == "MICRO_API":
        return "is MICRO_API but not declared in micro.h"
    wanted = ["MICRO_PRIVATE"]
    if item.kind == "data" and not header:
        wanted = ["MICRO_PRIVATE_DEF"]
    if mark not in wanted:
        return "is neither static nor " + " or ".join(wanted)
    return None if name.startswith("micro__") else "is internal: name it micro__..."


def local_names(tree, path):
    """Names that a file brings into the joined file for itself: (name, line, kind)."""
    found = tree.scan(path)
    for line, name in found.macros:
        yield name, line, "macro"
    for item in found.items:
        tags, constants = type_names(item)
        for name in tags:
            yield name, item.first, "type"
        for name in constants:
            yield name, item.first, "enumerator"
        forward = re.match(r"typedef (struct|union|enum) (\w+) \2$", item.head)
        if item.kind == "type" and not forward:
            for name in item.names:
                yield name, item.first, "type"
        elif item.static and item.kind in ("function", "prototype", "data"):
            for name in item.names:
                yield name, item.first, "static"


def unique(tree):
    """Names local to a file are unique over the tree."""
    owners = {}
    for path in ["micro.h"] + tree.sources():
        for name, line, kind in local_names(tree, path):
            first = owners.setdefault(name, (path, line))
            if first[0] != path:
                yield at(path, line, "%s %s is taken by %s:%d" % (kind, name, *first))


def layers(tree):
    """Folders include only what the layer table allows."""
    for path in tree.sources():
        own = folder_of(path)
        for include in tree.scan(path).includes:
            target = None if include.system else tree.resolve(path, include.name)
            if target and target.startswith("src/"):
                other = folder_of(target)
                if other != own and other not in LAYERS[own]:
                    yield at(path, include.line, "%s must not include %s" % (own, target))


def system_headers(tree):
    """System headers other than ISO C's and the compiler's are included in src/os only."""
    for path in tree.sources():
        for include in tree.scan(path).includes:
            if include.system and include.name not in ISO_HEADERS | COMPILER_HEADERS and \
                    not include.keep:
                if folder_of(path) != "os":
                    yield at(path, include.line, "<%s> belongs into src/os" % include.name)


def includes(tree):
    """Files can be joined: guards, no internal include in an #if, nothing missing or unused."""
    used, guards = {"micro.h"}, {}
    for path in tree.strays():
        yield path + ": is in no folder that tools/tree.py lists: " + " ".join(FOLDERS)
    for path in tree.sources():
        found = tree.scan(path)
        if not found.balanced:
            yield path + ": braces do not balance; no #if may hold half a block"
        if path.endswith(".h") and not found.guard:
            yield path + ": has no include guard"
        if found.guard and guards.setdefault(found.guard, path) != path:
            yield "%s: has the include guard of %s" % (path, guards[found.guard])
        for include in found.includes:
            if include.system:
                continue
            target = tree.resolve(path, include.name)
            used.add(target)
            if target is None:
                yield at(path, include.line, '"%s" is not there' % include.name)
            elif include.nested and not include.keep:
                yield at(path, include.line, "internal include inside an #if")
            elif target.endswith(".c"):
                yield at(path, include.line, "a .c file is included")
    for path in tree.sources((".h",)):
        if path not in used:
            yield path + ": is included by nobody"


def lengths(tree):
    """Limits on files and functions."""
    all_functions = []
    for path in tree.files:
        text = tree.files[path]
        if not is_c(path) and not path.endswith(".py") and path != "micro_cli.c":
            continue
        lines = text.count("\n")
        if lines > MAX_FILE_LINES:
            yield at(path, lines, "is longer than %d lines" % MAX_FILE_LINES)
        if path.endswith(".py"):
            continue
        for item in tree.scan(path).items:
            if item.kind == "function":
                length = item.last - item.first + 1
                if path.startswith("src/"):
                    all_functions.append(length)
                if length > MAX_FUNCTION_LINES:
                    yield at(path, item.first, "%s is longer than %d lines" % (
                        item.names[0], MAX_FUNCTION_LINES))
    all_functions.sort()
    if all_functions and all_functions[len(all_functions) * 9 // 10] > P90_FUNCTION_LINES:
        yield "src: more than a tenth of the functions are longer than %d lines" % (
            P90_FUNCTION_LINES)


def columns(tree):
    """100 columns, no tabs, no blanks at the end of a line."""
    for path in tree.files:
        if is_c(path) or path in ("micro.h", "micro_cli.c"):
            for number, line in enumerate(tree.files[path].splitlines(), 1):
                if len(line) > MAX_COLUMNS:
                    yield at(path, number, "is longer than %d columns" % MAX_COLUMNS)
                if "\t" in line or line != line.rstrip():
                    yield at(path, number, "has a tab or trailing blanks")


def opening(tree):
    """A file starts with its licence and a comment on its purpose."""
    for path in tree.files:
        if is_c(path):
            lines = tree.files[path].splitlines() + ["", ""]
            one = lines[0] == "/* SPDX-License-Identifier: MIT */" and lines[1].startswith("/*")
            if not one and lines[:2] != ["/* SPDX-License-Identifier: MIT", " *"]:
                yield at(path, 1, "does not start with the licence line and its purpose")


def ownership(tree):
    """Every MICRO_API function stands below a comment that ends in [owner | errors | threads]."""
    text = tree.files["micro.h"]
    known = set(re.findall(r"\bX\((E[A-Z]+),", text))
    for paragraph in re.finditer(r"(?:[^\n]+\n)+", text):
        code = blank(paragraph.group())
        for declared in re.finditer(r"^MICRO_API\b([^;]*);", code, re.MULTILINE):
            name = re.search(r"(\w+)\s*\(", declared.group(1))
            if not name or name.group(1).endswith("_"):
                continue
            line = line_of(text, paragraph.start() + declared.start())
            above = paragraph.group()[:declared.start()]
            behind = paragraph.group()[declared.end():].split("\n")[0]
            problem = contract_problem(above + behind, known)
            if problem:
                yield at("micro.h", line, "%s: %s" % (name.group(1), problem))


def contract_problem(comments, known):
    """What is wrong with the [owner | errors | threads] in some comments; None if nothing is."""
    joined = re.sub(r"\n \* ?", " ", comments)
    found = re.findall(r"\[([^\[\]]*)\]\s*\*/", joined)
    if not found:
        return "no comment above it ends in [owner | errors | threads]"
    parts = [p.strip() for p in found[-1].split("|")]
    if len(parts) != 3 or not all(parts):
        return "[%s] is not [owner | errors | threads]" % found[-1]
    unknown = [e for e in re.findall(r"\bE[A-Z]{2,}\b", parts[1]) if e not in known]
    return "there is no MICRO_" + unknown[0] if unknown else None


def words(tree):
    """No notes to oneself, no paths of somebody's machine."""
    notes = re.compile(r"\b(%s)\b" % "|".join(WORDS))
    paths = re.compile(r"(?<![\w.}])(%s)" % "|".join(MACHINE_PATHS))
    for path, text in tree.files.items():
        if path == "micro.c":
            continue
        for number, line in enumerate(text.splitlines(), 1):
            found = notes.search(line) or paths.search(line)
            if found:
                yield at(path, number, "forbidden: " + found.group(1))


RULES = [
    ("api-defined", api_defined), ("marked", marked), ("unique", unique), ("layers", layers),
    ("system-headers", system_headers), ("includes", includes), ("lengths", lengths),
    ("columns", columns), ("opening", opening), ("ownership", ownership), ("words", words),
]
