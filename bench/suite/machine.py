"""What the figures were taken on."""
import glob, os, platform, re, shutil, subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# What can be seen to matter, and how each says its version.
PROGRAMS = (
    ("PostgreSQL", ["{pg}postgres", "--version"]), ("clang", ["clang-19", "--version"]), ("nginx", ["nginx", "-v"]),
    ("wrk", ["wrk", "-v"]), ("Go", ["go", "version"]), ("Node", ["node", "--version"]),
)
PACKAGES = ("libpq5", "libssl3", "liburing2", "libbenchmark-dev", "golang-github-gin-gonic-gin-dev",
            "golang-github-jackc-pgx-v4-dev", "golang-github-golang-jwt-jwt-dev")
BUSY = 0.5  # load before the start, above which a warning is given


def postgres_bin():
    """Folder of the newest PostgreSQL's programs, with a slash behind."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[4].split(".")[0]))
    return (found[-1] if found else os.path.dirname(shutil.which("initdb") or "")) + "/"


def output(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout + done.stderr).strip()


def versions():
    found = {}
    for name, command in PROGRAMS:
        text = output([part.format(pg=postgres_bin()) for part in command])
        version = re.search(r"\d+(\.\d+)+", text)
        if version:
            found[name] = version.group(0)
    listed = output(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *PACKAGES])
    for line in listed.splitlines():
        name, _, version = line.partition(" ")
        if version and name in PACKAGES:
            found[name] = version
    return found


def describe():
    models = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    memory = int(re.search(r"MemTotal:\s+(\d+)", open("/proc/meminfo").read()).group(1)) / 1024 / 1024
    shared = " hypervisor" in open("/proc/cpuinfo").read()
    return {
        "cpu": f"{os.cpu_count()} × {models[0] if models else platform.machine()}"
               + (" (virtual machine)" if shared else ""),
        "memory_gib": round(memory, 1), "kernel": os.uname().release,
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "Linux"), "versions": versions(),
    }


def load():
    return round(os.getloadavg()[0], 2)


def commit():
    return output(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"]).split("\n")[0] or "no commit"
