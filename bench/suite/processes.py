"""Other processes: their CPU and memory from /proc, their ports, and how they are ended."""
import glob, os, signal, socket, subprocess, time

TICK = os.sysconf("SC_CLK_TCK")


def read(path):
    """Of /proc: empty when the process has ended."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def children(pid):
    found = []
    for task in glob.glob(f"/proc/{pid}/task/*/children"):
        for child in read(task).split():
            found += [int(child)] + children(int(child))
    return found


def cpu_of(pid, with_children=False):
    """Seconds of CPU, user and system. With children: theirs, and of those that have ended and been waited for."""
    total = 0
    for one in [pid] + (children(pid) if with_children else []):
        fields = read(f"/proc/{one}/stat").rpartition(")")[2].split()
        if fields:
            total += sum(int(field) for field in fields[11:15 if with_children else 13])
    return total / TICK


def memory(pid, line):
    """MiB of a line of /proc/PID/status, such as VmRSS or VmHWM."""
    return next((int(one.split()[1]) / 1024 for one in read(f"/proc/{pid}/status").splitlines()
                 if one.startswith(line + ":")), 0)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process, what, seconds=30):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"{what} ended at once")
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{what} does not listen")


def end(process, seconds=60):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
