"""What scripts/tidy does with each source; see there for the words of a caller.

A source that was found clean is looked at again when anything it was judged by has changed: itself, a header it
includes (system headers too), its compile command, .clang-tidy, clang-tidy itself or this folder.
"""
import concurrent.futures
import glob
import hashlib
import json
import os
import re
import subprocess
import sys
import time

BUILD = "build/tidy"
CLANG_TIDY = "clang-tidy-19"
HEAD = re.compile(r"^(?P<file>/[^:\n]+):(?P<line>\d+):\d+: (?:warning|error): (?P<text>.*) \[(?P<check>[\w.,-]+)\]$")
PLANTED = re.compile(r"// finds: (\S+)")


def digest(path, known={}):
    if path not in known:
        try:
            with open(path, "rb") as file:
                known[path] = hashlib.sha256(file.read()).hexdigest()
        except OSError:
            known[path] = "missing"
    return known[path]


def commands(database, prefixes):
    """Source -> its compile command, for the sources below one of the prefixes."""
    with open(f"{database}/compile_commands.json") as file:
        entries = json.load(file)
    root = os.getcwd()
    wanted = tuple(os.path.join(root, prefix) for prefix in prefixes)
    return {entry["file"]: entry["command"] for entry in entries if entry["file"].startswith(wanted)}


def included_by(database):
    """Source -> everything it includes, by clang's own scanner."""
    scan = subprocess.run(["clang-scan-deps-19", "-compilation-database", database, "-format=make", "-j",
                           str(os.cpu_count())], capture_output=True, text=True)
    included = {}
    for rule in scan.stdout.replace("\\\n", " ").splitlines():
        _, found, names = rule.partition(": ")
        if found:
            names = [os.path.normpath(name) for name in names.split()]
            included[names[0]] = names
    return included


def excepted():
    """{(file, check)} of cmake/tidy/excepted; a line that says nothing, or of a file that is gone, ends the run."""
    pairs = set()
    with open("cmake/tidy/excepted") as file:
        for line in file:
            if line.startswith("#"):
                continue
            name, check, why = line.split(maxsplit=2)
            if not os.path.exists(name) or not why.strip() or (name, check) in pairs:
                sys.exit(f"cmake/tidy/excepted: nothing is said by: {line}")
            pairs.add((name, check))
    return pairs


def judged_by():
    """The hash of what every verdict rests on."""
    version = subprocess.run([CLANG_TIDY, "--version"], capture_output=True, text=True, check=True).stdout
    text = [version] + [digest(path) for path in sorted(
        [".clang-tidy", "cmake/pch.hpp", "cmake/tidy/own_code.cpp", "cmake/tidy/look.py"]
        + [f"{folder}/.clang-tidy" for folder in glob.glob("src/*") + ["tests"]])]
    return "".join(text)


def findings(source, options, exceptions):
    """[(file, line, check, whole text)] of one source."""
    ran = subprocess.run([CLANG_TIDY, "--quiet", *options, source], capture_output=True, text=True)
    found, current = [], None
    for line in ran.stdout.splitlines():
        if head := HEAD.match(line):
            check = head["check"].removesuffix(",-warnings-as-errors")
            current = [os.path.normpath(head["file"]), int(head["line"]), check, line]
            found.append(current)
        elif current:
            current[3] += "\n" + line
    root = os.getcwd() + "/"
    # The analyzer follows our calls into Asio's coroutine frames, does not know what made them, and finds them
    # uninitialised. A compiler's error counts wherever it is.
    kept = [tuple(each) for each in found
            if each[0].startswith(root) or not each[2].startswith("clang-analyzer-")]
    kept = [each for each in kept if (each[0].removeprefix(root), each[2]) not in exceptions]
    if ran.returncode != 0 and not found:
        kept.append((source, 0, "clang-tidy", f"{source}: clang-tidy failed: {ran.stderr.strip()[-500:]}"))
    return kept


def look_at(database, sources, options):
    """Every finding once, though a header is seen by many sources; clean sources are remembered."""
    folder = f"{database}/clean"
    os.makedirs(folder, exist_ok=True)
    common, included = judged_by(), included_by(f"{database}/compile_commands.json")
    exceptions = excepted()

    def key_of(source, command):
        files = included.get(source, [source])
        granted = sorted(f"{name} {check}" for name, check in exceptions if os.path.abspath(name) in files)
        return hashlib.sha256("\n".join([common, command, *granted, *map(digest, files)]).encode()).hexdigest()

    keys = {source: key_of(source, command) for source, command in sources.items()}
    due = [source for source in sorted(sources, key=os.path.getsize, reverse=True)
           if source not in included or not os.path.exists(f"{folder}/{keys[source]}")]
    shown = set()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for source, found in zip(due, pool.map(lambda each: findings(each, options, exceptions), due)):
            if not found:
                with open(f"{folder}/{keys[source]}", "w") as file:
                    file.write(source + "\n")
            for each in found:
                if each[:3] not in shown:
                    shown.add(each[:3])
                    print(each[3].replace(os.getcwd() + "/", ""), flush=True)
    live = set(keys.values())
    if len(os.listdir(folder)) > 4 * len(live) + 1000:  # old verdicts are not kept for ever
        for name in os.listdir(folder):
            if name not in live:
                os.remove(f"{folder}/{name}")
    return len(due), len(shown)


def finds_what_is_planted():
    """Runs this program on the mistakes of cmake/tidy/planted; says what it missed, or why it did not fail."""
    database = os.path.abspath(f"{BUILD}/planted")
    folder = f"{database}/src"  # .clang-tidy reports the headers of a folder src
    os.makedirs(folder, exist_ok=True)
    wanted, entries = set(), []
    for name in sorted(os.listdir("cmake/tidy/planted")):
        with open(f"cmake/tidy/planted/{name}") as file:
            text = file.read()
        path = f"{folder}/{name}"
        with open(path, "w") as file:
            file.write(text)
        for number, line in enumerate(text.splitlines(), 1):
            wanted.update((os.path.relpath(path), number, check) for check in PLANTED.findall(line))
        if name.endswith(".cpp"):
            entries.append({"directory": folder, "file": path,
                            "command": f"clang++-19 -std=c++20 -Wall -o {name}.o -c {path}"})
    with open(f"{database}/compile_commands.json", "w") as file:
        json.dump(entries, file)
    ran = subprocess.run([sys.executable, __file__, "--database", database, ""], capture_output=True, text=True)
    found = set()
    for line in ran.stdout.splitlines():
        if head := HEAD.match(os.getcwd() + "/" + line):
            found.add((os.path.relpath(head["file"]), int(head["line"]),
                       head["check"].removesuffix(",-warnings-as-errors")))
    complaints = [f"{file}:{line}: planted, and not found: {check}" for file, line, check in sorted(wanted - found)]
    complaints += [f"{file}:{line}: found, and not planted: {check}" for file, line, check in sorted(found - wanted)]
    if ran.returncode != 1:
        complaints.append(f"With {len(wanted)} planted mistakes the exit code was {ran.returncode}: {ran.stderr}")
    return complaints


def main():
    began = time.monotonic()
    options = []
    if os.environ.get("INSULA_TIDY_PLUGIN"):
        options += ["--load", os.environ["INSULA_TIDY_PLUGIN"]]
    database, prefixes = BUILD, sys.argv[1:]
    if prefixes[:1] == ["--database"]:
        database, prefixes = prefixes[1], prefixes[2:]
    elif complaints := finds_what_is_planted():
        print(*complaints, sep="\n", file=sys.stderr)
        sys.exit("scripts/tidy does not find what is planted in cmake/tidy/planted: its verdict would say nothing.")
    sources = commands(database, prefixes)
    if not sources:
        sys.exit("scripts/tidy: no source is named like that")
    looked, count = look_at(database, sources, ["-p", database, *options])
    print(f"clang-tidy: {count} findings; {looked} sources looked at, {len(sources) - looked} as they were when they "
          f"were found clean, in {time.monotonic() - began:.0f} s", flush=True)
    return 1 if count else 0


sys.exit(main())
