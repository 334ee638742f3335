#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The codecs against Google's: random messages of every kind, in protobuf and in JSON, both ways.

    tests/codec_peer.py [SEED [ROUNDS]]
"""

import json
import math
import os
import random
import struct
import subprocess
import sys
import tempfile
import warnings

from google.protobuf import json_format

TESTS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TESTS)
SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 2018
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 400
SECONDS = 120

KINDS = ["double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32",
         "fixed64", "sfixed32", "sfixed64", "bool", "enum", "string", "bytes", "part", "self"]
MAPS = ["m_si", "m_is", "m_up", "m_be", "m_zd", "m_fb"]


def build(folder):
    """The driver, and the module that protoc makes."""
    subprocess.run(["protoc", "--experimental_allow_proto3_optional", "-I" + TESTS,
                    "--python_out=" + folder, os.path.join(TESTS, "codec_rich.proto")],
                   check=True, timeout=SECONDS)
    driver = os.path.join(folder, "driver")
    sources = [os.path.join(TESTS, "codec_driver.c")]
    for part in ("base", "codec"):
        path = os.path.join(ROOT, "src", part)
        sources += sorted(os.path.join(path, n) for n in os.listdir(path) if n.endswith(".c"))
    subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-g", "-O1",
                    "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
                    "-I" + os.path.join(ROOT, "src"), "-I" + TESTS, "-o", driver] + sources,
                   check=True, timeout=SECONDS)
    sys.path.insert(0, folder)
    import codec_rich_pb2
    return driver, codec_rich_pb2


class Driver:
    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def convert(self, form, to, data):
        """(error, bytes)"""
        self.process.stdin.write(b"%s %s %d\n" % (form, to, len(data)) + data)
        self.process.stdin.flush()
        head = self.process.stdout.readline().split()
        if len(head) != 2:
            raise SystemExit("the driver has died")
        return int(head[0]), self.process.stdout.read(int(head[1]))

    def must(self, form, to, data):
        err, out = self.convert(form, to, data)
        if err:
            raise AssertionError("%s to %s: %d %s: %r" % (form, to, err, out, data[:300]))
        return out


class Maker:
    """Random messages, with the values that matter often."""

    def __init__(self, rand, module):
        self.rand = rand
        self.module = module

    def integer(self, bits, signed):
        r = self.rand
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
        return r.choice([0, 1, low, high, r.randint(low, high), r.randint(0, 300),
                         max(low, -r.randint(1, 300)), min(high, 1 << r.randrange(bits))])

    def double(self):
        r = self.rand
        bits = struct.unpack("<d", struct.pack("<Q", r.getrandbits(64)))[0]
        bits = math.nan if math.isnan(bits) else bits # JSON knows one NaN only
        return r.choice([0.0, -0.0, 1.5, -1e300, 1e-7, 1e21, 5e-324, math.inf, -math.inf, math.nan,
                         r.random(), r.uniform(-1e6, 1e6), bits])

    def float(self):
        r = self.rand
        bits = struct.unpack("<f", struct.pack("<I", r.getrandbits(32)))[0]
        bits = math.nan if math.isnan(bits) else bits
        few = struct.unpack("<f", struct.pack("<f", r.uniform(-1e6, 1e6)))[0]
        return r.choice([0.0, -0.0, 1.5, 0.1, math.inf, -math.inf, math.nan, few, bits])

    def text(self, most=40):
        r = self.rand
        marks = ["a", "Z", "9", "\"", "\\", "/", "<", ">", "&", "\n", "\t", "\x01", "\x7f", "\x00",
                 "\u00e9", "\u2028", "\u2029", "\ufffd", "\u20ac", "\U0001f600", "\ud7ff", "\ue000"]
        if r.random() < 0.5:
            return "".join(r.choice("abcdefghij klm") for _ in range(r.randrange(most)))
        return "".join(r.choice(marks) for _ in range(r.randrange(most)))

    def part(self, depth):
        p = self.module.Part()
        if self.rand.random() < 0.7:
            p.part_name = self.text()
        if self.rand.random() < 0.7:
            p.big_delta = self.integer(64, True)
        p.nums.extend(self.integer(32, True) for _ in range(self.rand.randrange(4)))
        return p

    def value(self, kind, depth):
        if kind in ("double", "float", "part"):
            return self.part(depth) if kind == "part" else getattr(self, kind)()
        if kind == "bool":
            return self.rand.random() < 0.5
        if kind == "enum":
            return self.rand.choice([0, 5, -3, 70000, 12345, -2147483648, 2147483647])
        if kind == "string":
            return self.text()
        if kind == "bytes":
            return self.rand.randbytes(self.rand.randrange(30))
        if kind == "self":
            return self.message(depth + 1)
        return self.integer(32 if "32" in kind else 64, not kind.startswith(("u", "fixed")))

    def set(self, message, name, kind, depth):
        value = self.value(kind, depth)
        if kind in ("part", "self"):
            getattr(message, name).CopyFrom(value)
            getattr(message, name).SetInParent()
        else:
            setattr(message, name, value)

    def message(self, depth=0):
        r = self.rand
        m = self.module.Rich()
        density = r.choice([0.05, 0.3, 0.9]) if depth == 0 else 0.08 if depth == 1 else 0
        for kind in KINDS:
            for prefix in "po":
                if r.random() < density:
                    self.set(m, "%s_%s" % (prefix, kind), kind, depth)
            for prefix, most in (("r", 8), ("l", 8), ("a", 3)):
                if r.random() < density and not (prefix == "l" and KINDS.index(kind) > 13):
                    values = [self.value(kind, depth) for _ in range(r.randint(0, most))]
                    getattr(m, "%s_%s" % (prefix, kind)).extend(values)
        if r.random() < density * 2:
            kind = r.choice(KINDS)
            self.set(m, "u_" + kind, kind, depth)
        if r.random() < density:
            text = self.text(16).replace("\0", "").encode()[:15]
            m.c_text = text.decode("utf-8", "ignore")
        if r.random() < density:
            setattr(m, "class", self.text())
        for name in MAPS:
            for _ in range(r.randrange(6) if r.random() < density else 0):
                self.entry(m, name)
        return m

    def entry(self, m, name):
        if name == "m_si":
            m.m_si[self.text(8)] = self.integer(32, True)
        elif name == "m_is":
            m.m_is[self.integer(32, True)] = self.text()
        elif name == "m_up":
            m.m_up[self.integer(64, False)].CopyFrom(self.part(0))
        elif name == "m_be":
            m.m_be[self.rand.random() < 0.5] = self.value("enum", 0)
        elif name == "m_zd":
            m.m_zd[self.integer(64, True)] = self.double()
        else:
            m.m_fb[self.integer(32, False)] = self.rand.randbytes(self.rand.randrange(9))


def settled(message):
    """A copy in which a message by value that is empty is absent: C has no other way to hold it."""
    copy = type(message)()
    copy.CopyFrom(message)
    settle(copy)
    return copy


def settle(m):
    for field, value in m.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            for key in value: # until it is looked at, a key may be there twice
                if field.name == "m_up":
                    value[key].DiscardUnknownFields()
            continue
        if field.label == field.LABEL_REPEATED:
            for item in value:
                settle(item)
            continue
        settle(value)
        if field.name == "p_part" and not value.ListFields():
            m.ClearField(field.name)


def unsigned(message):
    """A copy without negative zeros: Python's JSON reads -0 as the integer 0."""
    copy = type(message)()
    copy.CopyFrom(message)
    unsign(copy)
    return copy


def unsign(m):
    for field, value in m.ListFields():
        repeated = field.label == field.LABEL_REPEATED
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            if field.name == "m_zd":
                for key in value:
                    value[key] = value[key] or 0.0
        elif field.message_type is not None:
            for item in value if repeated else [value]:
                unsign(item)
        elif field.cpp_type in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT):
            if repeated:
                value[:] = [v or 0.0 for v in value]
            else:
                setattr(m, field.name, value or 0.0)


def same(a, b):
    """Equal, where a NaN equals a NaN and -0 differs from 0."""
    return a.SerializeToString(deterministic=True) == b.SerializeToString(deterministic=True)


def check_message(driver, module, message):
    """A message through every pair of forms and back into Google's hands."""
    rich = module.Rich
    want = settled(message)
    wire = message.SerializeToString(deterministic=True)
    text = json_format.MessageToJson(message, indent=None, use_integers_for_enums=False).encode()
    from_wire = driver.must(b"p", b"p", wire)
    assert same(rich.FromString(from_wire), want), "protobuf to protobuf"
    assert driver.must(b"p", b"p", from_wire) == from_wire, "protobuf is not stable"
    assert same(rich.FromString(driver.must(b"j", b"p", text)), want), "Google's JSON to protobuf"
    canonical = driver.must(b"p", b"c", wire)
    plain = unsigned(want)
    assert same(json_format.Parse(canonical, rich()), plain), "protobuf to canonical JSON"
    assert driver.must(b"j", b"c", canonical) == canonical, "canonical JSON is not stable"
    err, go = driver.convert(b"p", b"j", wire)
    odd = b'"NaN"' in canonical or b'Infinity"' in canonical
    if err:
        assert err == -2 and odd, "Go's JSON: %d %s" % (err, go)
        return
    json.loads(go)
    assert b"<" not in go and b">" not in go and b"&" not in go
    assert driver.must(b"j", b"j", go) == go, "Go's JSON is not stable"
    assert same(json_format.Parse(go, rich()), plain), "Go's JSON to Google"
    assert json.loads(driver.must(b"j", b"y", go)) == json.loads(go), "pretty JSON"


def check_merge(driver, module, a, b):
    """Two encodings one after the other are the two messages merged."""
    wire = a.SerializeToString(deterministic=True) + b.SerializeToString(deterministic=True)
    err, out = driver.convert(b"p", b"p", wire)
    if err == -12 and b"too many elements" in out: # an array of three cannot take both
        return
    assert not err, out
    assert same(module.Rich.FromString(out), settled(module.Rich.FromString(wire))), "merge"


def google_reads(module, data):
    """The message, or None; what the C++ library says on stderr is left out."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error") # an end of a group too many is but a warning
            message = module.Rich.FromString(data)
        message.DiscardUnknownFields()
        return message
    except Exception:
        return None
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def check_mutated(driver, module, rand, wire):
    """Damaged input: no crash, and where both can read it, the same message."""
    data = bytearray(wire)
    for _ in range(rand.randint(1, 3)):
        if data:
            data[rand.randrange(len(data))] = rand.choice([0, 1, 0x7f, 0x80, 0xff,
                                                           rand.getrandbits(8)])
    data = bytes(data[:rand.randint(0, len(data))] if rand.random() < 0.3 else data)
    err, out = driver.convert(b"p", b"p", data)
    peer = google_reads(module, data)
    if not err:
        assert peer is not None, "we read what Google does not: " + data.hex()
        assert same(module.Rich.FromString(out), settled(peer)), "read otherwise: " + data.hex()
        return True
    # What we cannot hold, or read more strictly, is not held against us; nothing else is.
    assert peer is None or err == -12 or b"UTF-8" in out or b"NUL" in out or \
        b"malformed" in out, "%d %s: %s" % (err, out, data.hex())
    return False


def main():
    rand = random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        path, module = build(folder)
        driver = Driver(path)
        maker = Maker(rand, module)
        passed = failed = read = 0
        before = module.Rich()
        for number in range(ROUNDS):
            message = maker.message()
            wire = message.SerializeToString(deterministic=True)
            try:
                check_message(driver, module, message)
                check_merge(driver, module, before, message)
                for _ in range(5):
                    read += check_mutated(driver, module, rand, wire)
                passed += 1
            except AssertionError as e:
                failed += 1
                print("seed %d, round %d: %s" % (SEED, number, str(e)[:2000]))
                if failed > 10:
                    break
            before = message
        driver.process.stdin.close()
        if driver.process.wait(SECONDS):
            failed += 1
            print("the driver's exit code is %d" % driver.process.returncode)
        if not read:
            failed += 1
            print("no damaged message could be read: the comparison of them tested nothing")
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
