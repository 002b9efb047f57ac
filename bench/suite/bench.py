"""What a section's measure() gets: the build, how much to measure, and the record of what was run."""
import json, os, shlex, subprocess, sys, tempfile, time

from .figures import median, ratios
from .machine import ROOT

__all__ = ["bench", "cannot", "median", "ratios"]
NS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}


class cannot(Exception):
    """Raised by a section that cannot run here; the text is the reason shown in the document."""


class bench:
    root = ROOT

    def __init__(self, build, quick=False, rounds=None):
        self.build = os.path.abspath(build)
        self.quick = quick
        self.rounds = rounds or (1 if quick else 5)
        self.commands = []
        self.missing = []
        self.begun = time.monotonic()

    def progress(self, text):
        print(f"   {time.monotonic() - self.begun:6.0f} s  {text}", flush=True)

    def command(self, text):
        """The exact command behind the figures, shown in the document. Said again it is shown once."""
        text = text.replace(self.build, "build/bench").replace(ROOT + "/", "")
        if text not in self.commands:
            self.commands.append(text)

    def without(self, what, reason):
        """A part of the section that cannot run here; the rest does."""
        self.progress(f"without {what}: {reason}")
        self.missing.append([what, reason])

    def program(self, name):
        """A bench program, or the service itself ("insula")."""
        path = f"{self.build}/{name}" if name == "insula" else f"{self.build}/bench/{name}"
        if not os.path.exists(path):
            raise cannot(f"{path} has not been built")
        return path

    def run(self, command, **more):
        """Runs it and records it; what it printed. Fails loudly."""
        self.command(shlex.join(command))
        done = subprocess.run(command, capture_output=True, text=True, **more)
        if done.returncode:
            raise RuntimeError(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def google(self, program, filter="", repetitions=9, min_time=0.2, arguments=(), environment=None):
        """{name: {"cpu_ns": [one per repetition], "real_ns": […], "<counter>": […]}}, randomly interleaved."""
        if self.quick:
            repetitions, min_time = 2, 0.005
        command = [self.program(program), "--benchmark_enable_random_interleaving=true",
                   f"--benchmark_repetitions={repetitions}", f"--benchmark_min_time={min_time}"]
        if filter:
            command.append("--benchmark_filter=" + filter)
        command += arguments
        self.progress(f"{program} {filter}".rstrip())
        with tempfile.NamedTemporaryFile("r", suffix=".json") as out:
            self.command(shlex.join(command))
            more = [f"--benchmark_out={out.name}", "--benchmark_out_format=json"]
            done = subprocess.run(command[:4] + more + command[4:], capture_output=True, text=True,
                                  env=dict(os.environ, **(environment or {})))
            if done.returncode:
                raise RuntimeError(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
            return google_rows(json.loads(out.read() or '{"benchmarks": []}')["benchmarks"], program)


KNOWN = {"name", "family_index", "per_family_instance_index", "run_name", "run_type", "repetitions", "repetition_index",
         "threads", "iterations", "real_time", "cpu_time", "time_unit", "label", "aggregate_name", "aggregate_unit"}


def google_rows(entries, program):
    rows = {}
    for entry in sorted(entries, key=lambda e: e.get("repetition_index", 0)):
        if entry.get("run_type") == "aggregate":
            continue
        if entry.get("error_occurred"):
            raise RuntimeError(f"{program}: {entry['name']}: {entry.get('error_message')}")
        row = rows.setdefault(entry["run_name"], {"cpu_ns": [], "real_ns": []})
        size = NS[entry["time_unit"]]
        row["cpu_ns"].append(entry["cpu_time"] * size)
        row["real_ns"].append(entry["real_time"] * size)
        if entry.get("label"):
            row["label"] = entry["label"]
        for key, value in entry.items():
            if key not in KNOWN and isinstance(value, (int, float)):
                row.setdefault(key, []).append(value)
    if not rows:
        print(f"{program}: no benchmark has run", file=sys.stderr)
    return rows
