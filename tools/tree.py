# SPDX-License-Identifier: MIT
"""The project's files: which there are, in which order they are joined, what includes what."""

import os
import posixpath

from cscan import scan

# Folders of src in the order in which micro.c holds them.
FOLDERS = ["base", "os", "net", "codec", "registry", "selector", "transport", "broker", "stream",
           "client", "server", "service", "toolkit"]

# Folders whose .c files are not to stand in alphabetical order: folder -> names that come first.
ORDER = {}

# Not ours to read: generated, recorded, or no text.
SKIPPED = {".git", "build", "golden", "corpus", "__pycache__", "node_modules"}


class Tree:
    """A work tree, read once. Paths are relative to its root, with slashes."""

    def __init__(self, root):
        self.root = root
        self.files = {}
        for folder, subfolders, names in os.walk(root):
            subfolders[:] = sorted(d for d in subfolders
                                   if d not in SKIPPED and not d.startswith("build"))
            for name in sorted(names):
                path = os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")
                text = read_text(os.path.join(folder, name))
                if text is not None:
                    self.files[path] = text

    def sources(self, suffixes=(".c", ".h")):
        """The files of src, in the order of the folders."""
        found = []
        for folder in FOLDERS:
            prefix = "src/%s/" % folder
            inside = [p for p in self.files if p.startswith(prefix) and p.endswith(suffixes)]
            first = [prefix + name for name in ORDER.get(folder, []) if prefix + name in inside]
            found += first + sorted(set(inside) - set(first))
        return found

    def strays(self):
        """Files below src that are in no known folder."""
        known = set(self.sources())
        return [p for p in self.files
                if p.startswith("src/") and p.endswith((".c", ".h")) and p not in known]

    def scan(self, path):
        return scan(self.files[path])

    def resolve(self, path, name):
        """The file that an #include "name" in path means, or None."""
        for base in (posixpath.dirname(path), "src", ""):
            wanted = posixpath.normpath(posixpath.join(base, name))
            if wanted in self.files:
                return wanted
        return None


def read_text(path):
    """The text of a file; None for links, binary and very large files."""
    if os.path.islink(path) or not os.path.isfile(path) or os.path.getsize(path) > 4 << 20:
        return None
    with open(path, "rb") as f:
        data = f.read()
    try:
        return None if b"\0" in data else data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def folder_of(path):
    """"net" for src/net/loop.c."""
    return path.split("/")[1]
