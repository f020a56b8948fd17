"""standIns.py FOLDER: puts stand-ins for NVIDIA's libraries beside PyTorch's own, in its lib folder.

PyPI's PyTorch for Linux is linked against CUDA, some 3 GB of further packages, none of which is
ever called on a CPU. The loader only wants their names: so each missing library is made with the
functions that PyTorch expects of it, all of which answer 100, "no device found".
"""

import collections
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

nvidia = r"lib(?:cu|nccl|nv)\S+"


def readelf(option, library):
    command = ["readelf", "-W", option, str(library)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def wanted(folder):
    """The missing libraries, as {library: {version: functions}}; most functions carry a version."""
    missing, library_of, functions = set(), {}, collections.defaultdict(set)
    for library in sorted(folder.glob("*.so*")):
        missing |= set(re.findall(rf"\(NEEDED\).*\[({nvidia})\]", readelf("-d", library)))
        for part in readelf("-V", library).split("File: ")[1:]:
            for version in re.findall(r"Name: (\S+)", part):
                if re.match(nvidia, part):
                    library_of[version] = part.split()[0]
        for name, version in re.findall(r" UND (\w+)(?:@(\S+))?", readelf("--dyn-syms", library)):
            if version in library_of or (version == "" and re.match(r"_*(cu|nccl|nv)", name)):
                functions[version].add(name)
    # Without a version any library will do; this one is loaded first.
    runtime = next(name for name in missing if name.startswith("libcudart."))
    library_of[""] = runtime
    libraries = {name: {} for name in missing if not (folder / name).exists()}
    for version, library in library_of.items():
        if library in libraries:
            libraries[library][version] = sorted(functions[version])
    return libraries


def make(library, versions, folder):
    names = sorted({name for functions in versions.values() for name in functions})
    with tempfile.TemporaryDirectory() as work:
        source, script = pathlib.Path(work, "source.c"), pathlib.Path(work, "versions")
        source.write_text("".join(f"long {name}(void) {{ return 100; }}\n" for name in names))
        named = {version: functions for version, functions in versions.items() if version}
        script.write_text(
            "".join(
                f"{version} {{ global: {''.join(f'{name}; ' for name in functions)}}};\n"
                for version, functions in named.items()
            )
        )
        options = [f"-Wl,-soname,{library}"]
        if named:
            options.append(f"-Wl,--version-script,{script}")
        compiler = shutil.which("gcc") or "cc"
        command = [compiler, "-w", "-fno-builtin", "-shared", "-fPIC", str(source), *options]
        subprocess.run([*command, "-o", str(folder / library)], check=True)


folder = pathlib.Path(sys.argv[1])
for library, versions in wanted(folder).items():
    make(library, versions, folder)
