# SPDX-License-Identifier: MIT
"""Reads the project's C well enough to join files and to lint them; it is no C parser.

Comments and literals are blanked first, so that braces and names inside them do not count; every
position keeps its line. What is read at file scope: functions, declarations, macros, includes.
"""

import functools
import re

BLANKED = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*(\w+)(?:[^\n\\]|\\\n|\\.)*", re.MULTILINE)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:<([^>\n]+)>|"([^"\n]+)")')
# What may stand between the parentheses of a function and its body or semicolon.
TRAILER = re.compile(r"\s*(?:MICRO_\w+|__attribute__)\s*\([^()]*(?:\([^()]*\)[^()]*)*\)\s*$")
WORD = re.compile(r"[A-Za-z_]\w*")


class Item:
    """One function or declaration at file scope."""

    def __init__(self, kind, head, body, first, last):
        self.kind = kind      # "function", "prototype", "data", "type" or "macro call"
        self.head = head      # text in front of the body or the semicolon, white space squeezed
        self.body = body      # text between the braces, or None
        self.first = first    # lines, counted from 1
        self.last = last
        self.words = WORD.findall(head)
        self.names = []       # of what it declares
        self.static = "static" in self.words or "MICRO_INLINE_" in self.words


class Include:
    """One #include line."""

    def __init__(self, line, system, name, nested, keep):
        self.line = line
        self.system = system
        self.name = name
        self.nested = nested  # inside an #if that is not the include guard
        self.keep = keep


class Scan:
    """What a file declares. macros: (line, name), without those undefined again in the file."""

    def __init__(self, includes, macros, guard, items, balanced):
        self.includes = includes
        self.macros = macros
        self.guard = guard
        self.items = items
        self.balanced = balanced


def blank(text):
    """The text with comments and the insides of literals made spaces."""
    def spaces(match):
        found = match.group()
        if found[0] in "\"'":
            return found[0] + " " * (len(found) - 2) + found[0]
        return re.sub(r"[^\n]", " ", found)
    return BLANKED.sub(spaces, text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def find_guard(directives):
    """Name of the include guard, or None."""
    if len(directives) < 3:
        return None
    first = re.match(r"\s*#\s*ifndef\s+(\w+)\s*$", directives[0].group())
    second = re.match(r"\s*#\s*define\s+(\w+)\s*$", directives[1].group())
    if first and second and first.group(1) == second.group(1):
        return first.group(1) if directives[-1].group(1) == "endif" else None
    return None


def read_directives(text, code):
    """Includes, macros and the guard."""
    raw = text.split("\n")
    directives = list(DIRECTIVE.finditer(code))
    guard = find_guard(directives)
    depth = -1 if guard else 0
    includes, macros, dropped = [], [], set()
    for found in directives:
        word, line = found.group(1), line_of(code, found.start())
        if word in ("if", "ifdef", "ifndef"):
            depth += 1
        elif word == "endif":
            depth -= 1
        elif word == "include":
            named = INCLUDE.match(raw[line - 1])
            if named:
                includes.append(Include(line, bool(named.group(1)),
                                        named.group(1) or named.group(2), depth > 0,
                                        "/* amalgamate: keep */" in raw[line - 1]))
        elif word in ("define", "undef"):
            name = re.match(r"\s*#\s*\w+\s+(\w+)", found.group()).group(1)
            if word == "undef":
                dropped.add(name)
            elif name != guard:
                macros.append((line, name))
    return includes, [m for m in macros if m[1] not in dropped], guard


def split_commas(text):
    """Splits at commas outside of brackets."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        if c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        elif c == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return parts + [text[start:]]


def without_brackets(text):
    """The text less everything in braces."""
    out, depth = [], 0
    for c in text:
        depth += c == "{"
        if depth == 0:
            out.append(c)
        depth -= c == "}"
    return "".join(out)


def declarator_name(text):
    """The name that a declarator declares: int (*name)(int), char name[4], T name(void)."""
    text = text.split("=")[0]
    before, _, behind = text.partition("(")
    pointer = re.match(r"\s*\*\s*(?:const\s+)?(\w+)", behind)
    if pointer:
        return pointer.group(1)
    text = re.split(r"[\[:]", before)[0]
    words = WORD.findall(text)
    return words[-1] if words else ""


def classify(head, body, first, last):
    """Makes an Item of the text of a function or declaration."""
    head = re.sub(r"^\s*__extension__\b", "", head)
    head = re.sub(r"\b(?:_Atomic|MICRO__ATOMIC)\(([^()]*)\)", r"\1", head)
    squeezed = " ".join(head.split())
    plain = " ".join(without_brackets(head).split())
    stripped = plain
    while TRAILER.search(stripped) and stripped.count("(") > 1:
        stripped = TRAILER.sub("", stripped).strip()
    item = Item("data", squeezed, body, first, last)
    if body is not None:
        item.kind = "function"
        item.names = [declarator_name(stripped)]
    elif re.match(r"[A-Z_][A-Za-z0-9_]*\s*\(", plain):
        item.kind = "macro call"
    elif item.words and item.words[0] == "typedef":
        item.kind = "type"
        item.names = [declarator_name(part) for part in split_commas(stripped)]
    elif re.match(r"(?:struct|union|enum)\b\s*\w*$", plain):
        item.kind = "type"
    elif re.match(r"[^=(]*\((?!\s*\*).*\)$", stripped):
        item.kind = "prototype"
        item.names = [declarator_name(stripped)]
    else:
        item.names = [n for n in map(declarator_name, split_commas(stripped)) if n]
    return item


def read_items(code):
    """Items at file scope of blanked text, and whether its braces balance."""
    code = DIRECTIVE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), code)
    code = re.sub(r'extern\s+"\s*"\s*\{', lambda m: " " * len(m.group()), code)
    items, depth, start, opened = [], 0, 0, 0
    for found in re.finditer(r"[{};]", code):
        c, at = found.group(), found.start()
        if c == "{":
            depth += 1
            if depth == 1:
                opened = at
        elif c == "}":
            depth -= 1
            head = code[start:opened]
            if depth < 0:     # the end of extern "C"
                depth, start = 0, at + 1
            elif depth == 0 and head.rstrip().endswith(")") and "=" not in head:
                items.append(make_item(code, start, at, head, code[opened + 1:at]))
                start = at + 1
        elif depth == 0:
            if code[start:at].strip():
                items.append(make_item(code, start, at, code[start:at], None))
            start = at + 1
    return items, depth == 0


def make_item(code, start, end, head, body):
    first = start + len(code[start:end]) - len(code[start:end].lstrip())
    return classify(head, body, line_of(code, first), line_of(code, end))


@functools.lru_cache(maxsize=None)
def scan(text):
    """Everything the tools want to know about one file."""
    code = blank(text)
    includes, macros, guard = read_directives(text, code)
    items, balanced = read_items(code)
    return Scan(includes, macros, guard, items, balanced)


def type_names(item):
    """Tags with a body and enumerators that a declaration at file scope introduces."""
    tags = re.findall(r"\b(?:struct|union|enum)\s+(\w+)\s*\{", item.head)
    constants = []
    for inside in re.findall(r"\benum\b[^{;()]*\{([^}]*)\}", item.head):
        for part in split_commas(inside):
            word = WORD.match(part.strip())
            if word and not re.match(r"\w+\s*\(", part.strip()):
                constants.append(word.group())
    return tags, constants
