# SPDX-License-Identifier: MIT
"""Figures against their targets: the table, the raw rounds, the document."""

import json
import os
import statistics

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


class Figure:
    """One row. values: what each round gave; the median counts."""

    def __init__(self, row, text, values, must=None, stretch=None, unit="", note=""):
        self.row, self.text, self.unit, self.note = row, text, unit, note
        self.values = [float(v) for v in values]
        self.must, self.stretch = must, stretch
        self.value = statistics.median(self.values)

    def verdict(self):
        if self.must is None:
            return ""
        if self.value > self.must:
            return "**no**"
        return "S" if self.stretch is not None and self.value <= self.stretch else "M"

    def missed(self):
        return self.must is not None and self.value > self.must

    def cells(self):
        spread = ""
        if len(self.values) > 1:
            spread = "%s-%s" % (number(min(self.values)), number(max(self.values)))
        return [self.row, self.text, number(self.value) + self.unit, spread,
                limit(self.must, self.unit), limit(self.stretch, self.unit), self.verdict(),
                self.note]


HEAD = ["row", "quantity", "median", "range", "M", "S", "met", "remarks"]


def number(v):
    if v == 0:
        return "0"
    if abs(v) >= 1000:
        return "%d" % round(v)
    return ("%.1f" if abs(v) >= 100 else "%.2f" if abs(v) >= 1 else "%.3f") % v


def limit(v, unit):
    return "" if v is None else "%g%s" % (v, unit)


class Report:
    """Collects figures and what is to be said beside them. lenient: nothing is judged."""

    def __init__(self, lenient=False):
        self.figures, self.raw, self.remarks, self.lenient = [], [], [], lenient

    def add(self, *args, **how):
        figure = Figure(*args, **how)
        if self.lenient:
            figure.must = figure.stretch = None
        self.figures.append(figure)
        print("  %-4s %-62s %10s %s" % (figure.row, figure.text[:62],
                                       number(figure.value) + figure.unit, figure.verdict()),
              flush=True)
        return figure

    def remark(self, text):
        self.remarks.append(text)
        print("  " + text, flush=True)

    def record(self, what, figures):
        """A raw measurement, and hands it on."""
        self.raw.append(dict(what=what, **figures))
        return figures

    def missed(self):
        return [f for f in self.figures if f.missed()]

    def table(self):
        figures = sorted(self.figures, key=order)
        rows = [HEAD, ["---"] * len(HEAD)] + [f.cells() for f in figures]
        return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)

    def summary(self):
        judged = [f for f in self.figures if f.must is not None]
        return "%d of %d targets met." % (len(judged) - len(self.missed()), len(judged))

    def write(self, folder, about):
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "rounds.json"), "w", encoding="utf-8") as f:
            json.dump({"about": about, "rounds": self.raw}, f, indent=0)
        with open(os.path.join(folder, "table.md"), "w", encoding="utf-8") as f:
            f.write(self.text(about))

    def text(self, about):
        parts = [about, self.summary(), self.table()]
        if self.remarks:
            parts.append("\n".join("- " + r for r in self.remarks))
        return "\n\n".join(parts) + "\n"

    def document(self, path, about):
        """Puts the table between the markers of a document written by hand."""
        with open(path, encoding="utf-8") as f:
            text = f.read()
        before, rest = text.split(BEGIN)
        after = rest.split(END)[1]
        with open(path, "w", encoding="utf-8") as f:
            f.write(before + BEGIN + "\n\n" + self.text(about) + "\n" + END + after)


def order(figure):
    digits = "".join(c for c in figure.row.split()[0] if c.isdigit())
    return (int(digits) if digits else 1000, figure.row)


def ratios(a, b):
    return [x / y for x, y in zip(a, b)]
