#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The library's deflate and inflate against zlib, in both directions, on random data.

Accepted must be what zlib accepts and nothing else, with the same output. The same is done with
MICRO_ENABLE_ZLIB where zlib can be linked.
"""

import os
import random
import struct
import subprocess
import sys
import tempfile
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
EFORMAT, ETOOBIG = 11, 12
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-fsanitize=address,undefined",
         "-fno-sanitize-recover=all", "-I" + os.path.join(ROOT, "src")]
ROUNDS = 3400       # of each of three tests
ROUNDS_ZLIB = 300   # there only what surrounds zlib is ours
VARIANTS = (("built-in", ROUNDS, []), ("zlib", ROUNDS_ZLIB, ["-DMICRO_ENABLE_ZLIB=1", "-lz"]))
MIN_SHARE = 0.02    # of the damaged streams that must have been accepted, or the test tests little


class Program:
    """deflate_zlib.c, asked through pipes."""

    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, operation, data, limit=1 << 24):
        pipe = self.process.stdin
        pipe.write(struct.pack("<III", ord(operation), limit, len(data)) + data)
        pipe.flush()
        answer = self.process.stdout.read(8)
        if len(answer) < 8:
            raise SystemExit("the program died, exit code %s" % self.process.wait())
        error, size = struct.unpack("<II", answer)
        return error, self.process.stdout.read(size)

    def end(self):
        self.process.stdin.close()
        return self.process.wait()


def sample(rnd):
    """Bytes with a structure: few or many letters, repetitions near and far."""
    letters = rnd.choice([1, 2, 5, 26, 256])
    length = rnd.choice([0, 1, 2, 3, 10, 300, 300, 2000, 2000, 40000])
    data = bytearray()
    while len(data) < length:
        run = rnd.choice([1, 3, 10, 258, 700])
        if data and rnd.random() < 0.6:
            back = rnd.randrange(1, len(data) + 1)
            for _ in range(run):
                data.append(data[-back])
        else:
            data += bytes(rnd.randrange(letters) for _ in range(run))
    return bytes(data)


def pack(rnd, data):
    """A zlib stream, made in one of many ways."""
    packer = zlib.compressobj(
        rnd.randrange(0, 10), zlib.DEFLATED, rnd.randrange(9, 16), rnd.randrange(1, 10),
        rnd.choice([zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_FIXED,
                    zlib.Z_RLE]))
    out, at = b"", 0
    while at < len(data):
        step = rnd.randrange(1, len(data) + 1)
        out += packer.compress(data[at:at + step])
        if rnd.random() < 0.3:
            out += packer.flush(rnd.choice([zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH]))
        at += step
    return out + packer.flush()


def unpack(stream):
    """What zlib makes of a stream; None if it is damaged or something follows it."""
    reader = zlib.decompressobj()
    try:
        data = reader.decompress(stream)
    except zlib.error:
        return None
    return data if reader.eof and not reader.unused_data else None


def fix_sum(stream):
    """The stream with the checksum that belongs to its content, if there is any."""
    reader = zlib.decompressobj(-15)
    try:
        data = reader.decompress(stream[2:])
    except zlib.error:
        return stream
    if not reader.eof:
        return stream
    return stream[:len(stream) - len(reader.unused_data)] + struct.pack(">I", zlib.adler32(data))


def damage(rnd, stream):
    """Changes, cuts or lengthens a stream."""
    out = bytearray(stream)
    for _ in range(rnd.choice([1, 1, 1, 2, 5])):
        at = min(rnd.randrange(len(out)), rnd.randrange(2000))
        kind = rnd.random()
        if kind < 0.7:
            out[at] ^= 1 << rnd.randrange(8)
        elif kind < 0.8:
            out[at] = rnd.randrange(256)
        elif kind < 0.9:
            del out[at:at + rnd.randrange(1, 4)]
        else:
            out[at:at] = bytes(rnd.randrange(256) for _ in range(rnd.randrange(1, 4)))
        if not out:
            out = bytearray(b"\x78")
    return bytes(out) if rnd.random() < 0.3 else fix_sum(bytes(out))


def test_deflate(program, rnd, rounds):
    for _ in range(rounds):
        data = sample(rnd)
        error, out = program.ask("d", data)
        if error or unpack(out) != data:
            return "zlib does not read what deflate made of %r" % data[:60]
    return None


def test_inflate(program, rnd, rounds):
    for _ in range(rounds):
        data = sample(rnd)
        stream = pack(rnd, data)
        if program.ask("i", stream, len(data)) != (0, data):
            return "inflate does not read %s" % stream.hex()[:200]
        if data and program.ask("i", stream, len(data) - 1) != (ETOOBIG, b""):
            return "inflate exceeds its limit: %s" % stream.hex()[:200]
    return None


def test_damaged(program, rnd, rounds):
    accepted = 0
    for _ in range(rounds):
        stream = damage(rnd, pack(rnd, sample(rnd)[:3000]))
        want = unpack(stream)
        accepted += want is not None
        got = program.ask("i", stream)
        if got != ((0, want) if want is not None else (EFORMAT, b"")):
            return "zlib %s, inflate %d: %s" % (
                "accepts" if want is not None else "refuses", -got[0], stream.hex())
    if accepted < rounds * MIN_SHARE:
        return "only %d damaged streams were good" % accepted
    return None


def build(folder, name, options):
    """Compiles deflate_zlib.c with src/base; None if that cannot be done."""
    base = os.path.join(ROOT, "src", "base")
    sources = [os.path.join(base, f) for f in sorted(os.listdir(base)) if f.endswith(".c")]
    path = os.path.join(folder, name)
    command = [os.environ.get("CC", "cc"), *FLAGS, "-o", path,
               os.path.join(HERE, "deflate_zlib.c"), *sources, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and not options:
        raise SystemExit(done.stderr)
    return path if done.returncode == 0 else None


def main():
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, rounds, options in VARIANTS:
            path = build(folder, name, options)
            if not path:
                print("zlib cannot be linked here: MICRO_ENABLE_ZLIB is not tested")
                continue
            for test in (test_deflate, test_inflate, test_damaged):
                program = Program(path)
                problem = test(program, random.Random(1), rounds) or (program.end() and "exit code")
                passed += not problem
                failed += bool(problem)
                if problem:
                    print("FAIL  %s, %s: %s" % (test.__name__, name, problem))
    print("%d passed, %d failed" % (passed, failed))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
