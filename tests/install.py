#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Installs into a folder and builds the README's greeter against what is there: by the cc line's
two files, by pkg-config, by CMake; shared and static; and by CMake from the sources."""

import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

FIND_PACKAGE = """
cmake_minimum_required(VERSION 3.13)
project(greeter C)
find_package(micro %s REQUIRED)
add_executable(shared greeter.c)
target_link_libraries(shared micro::micro)
if(TARGET micro::micro_static)
  add_executable(static greeter.c)
  target_link_libraries(static micro::micro_static)
endif()
"""
SUBDIRECTORY = """
cmake_minimum_required(VERSION 3.13)
project(greeter C)
add_subdirectory(%s micro)
add_executable(inside greeter.c)
target_link_libraries(inside micro::micro)
"""


def run(command, **more):
    """The output of a command that must succeed."""
    env = dict(os.environ, **more.pop("env", {}))
    ran = subprocess.run(command, text=True, env=env, stdin=subprocess.DEVNULL, timeout=600,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **more)
    if ran.returncode:
        raise RuntimeError("%s: exit code %d\n%s" % (command, ran.returncode, ran.stdout))
    return ran.stdout


def greeter():
    """The first program of the README."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
        blocks = re.findall(r"^```c\n(.*?)^```", f.read(), re.MULTILINE | re.DOTALL)
    return [b for b in blocks if "int main(" in b][0]


def helps(program, **env):
    """A greeter that has been linked runs, says what it can do, and ends well."""
    if "--registry" not in run([program, "--help"], env=env):
        raise RuntimeError(program + " --help does not name its flags")


class Install:
    """One test a method; they share the folder and the order of their names."""

    def __init__(self, folder):
        self.folder = folder
        self.prefix = os.path.join(folder, "usr")
        self.lib = os.path.join(self.prefix, "lib")
        self.pkg = {"PKG_CONFIG_PATH": os.path.join(self.lib, "pkgconfig")}
        self.source = os.path.join(folder, "greeter.c")
        self.cc = os.environ.get("CC", "cc")

    def program(self, name):
        return os.path.join(self.folder, name)

    def cmake(self, name, text, *options):
        """Configures and builds a project of greeter.c; the folder of its programs."""
        folder = self.program(name)
        os.mkdir(folder)
        for path, content in (("CMakeLists.txt", text), ("greeter.c", greeter())):
            with open(os.path.join(folder, path), "w", encoding="utf-8") as f:
                f.write(content)
        build = os.path.join(folder, "build")
        run(["cmake", "-S", folder, "-B", build, *options])
        run(["cmake", "--build", build, "-j2"])
        return build

    def test_1_make_install(self):
        with open(self.source, "w", encoding="utf-8") as f:
            f.write(greeter())
        make = ["make", "install", "PYTHON=none"]  # micro.c as it is
        run(make + ["PREFIX=" + self.prefix], cwd=ROOT)
        run(make + ["PREFIX=/usr", "DESTDIR=" + self.program("root")], cwd=ROOT)
        for path in ("include/micro.h", "lib/libmicro.a", "lib/libmicro.so", "bin/micro",
                     "lib/pkgconfig/micro.pc", "lib/cmake/micro/micro-config.cmake"):
            for base in (self.prefix, self.program("root/usr")):
                if not os.path.exists(os.path.join(base, path)):
                    raise RuntimeError(path + " was not installed")
        run([os.path.join(self.prefix, "bin", "micro"), "version"])

    def test_2_two_files(self):
        for warn in ("-std=c11", "-std=gnu17"):
            run([self.cc, warn, "-Wall", "-Wextra", "-Werror", "-I" + ROOT, self.source,
                 os.path.join(ROOT, "micro.c"), "-o", self.program("two"), "-lpthread"])
            helps(self.program("two"))

    def test_2_one_unit(self):
        unit = self.program("unit.c")
        with open(unit, "w", encoding="utf-8") as f:
            f.write('#define MICRO_API static\n#include "micro.c"\n' + greeter())
        run([self.cc, "-I" + ROOT, unit, "-o", self.program("unit"), "-lpthread"])
        helps(self.program("unit"))

    def test_3_pkg_config(self):
        flags = run(["pkg-config", "--cflags", "--libs", "micro"], env=self.pkg).split()
        run([self.cc, self.source, "-o", self.program("shared"), *flags])
        helps(self.program("shared"), LD_LIBRARY_PATH=self.lib)
        soname = run(["readelf", "-d", self.program("shared")])
        if not re.search(r"NEEDED.*\[libmicro\.so\.\d+\]", soname):
            raise RuntimeError("the program does not name libmicro.so.N\n" + soname)

    def test_4_pkg_config_static(self):
        flags = run(["pkg-config", "--static", "--cflags", "--libs", "micro"], env=self.pkg)
        flags = flags.replace("-lmicro", "-l:libmicro.a").split()
        run([self.cc, self.source, "-o", self.program("static"), *flags])
        helps(self.program("static"))

    def test_5_cmake(self):
        version = run(["pkg-config", "--modversion", "micro"], env=self.pkg).strip()
        built = self.cmake("package", FIND_PACKAGE % version, "-DCMAKE_PREFIX_PATH=" + self.prefix)
        helps(os.path.join(built, "shared"))
        helps(os.path.join(built, "static"))

    def test_6_cmake_refuses_newer(self):
        try:
            self.cmake("newer", FIND_PACKAGE % "99.0", "-DCMAKE_PREFIX_PATH=" + self.prefix)
        except RuntimeError as error:
            if "99.0" in str(error):
                return
        raise RuntimeError("find_package(micro 99.0) succeeded")

    def test_7_cmake_subdirectory(self):
        helps(os.path.join(self.cmake("sub", SUBDIRECTORY % ROOT), "inside"))

    def test_8_cmake_install(self):
        build, prefix = self.program("cmade"), self.program("cmusr")
        run(["cmake", "-S", ROOT, "-B", build, "-DBUILD_SHARED_LIBS=ON",
             "-DCMAKE_INSTALL_PREFIX=" + prefix])
        run(["cmake", "--build", build, "-j2"])
        run(["cmake", "--install", build])
        built = self.cmake("cmpackage", FIND_PACKAGE % "", "-DCMAKE_PREFIX_PATH=" + prefix)
        helps(os.path.join(built, "shared"))


def main():
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        tests = Install(folder)
        for name in sorted(n for n in dir(tests) if n.startswith("test_")):
            try:
                getattr(tests, name)()
                passed += 1
            except (RuntimeError, OSError, IndexError, subprocess.TimeoutExpired) as error:
                print("FAIL  %s: %s" % (name, error))
                failed += 1
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
