"""wrk, with the CPU that others used meanwhile."""
import os, re, resource, shlex, subprocess, tempfile

DONE = """
done = function(s, l)
   io.write(string.format("RESULT %d %d %d %d %d %d %d\\n", s.requests, s.duration, l:percentile(50), l:percentile(99),
      s.errors.status, s.errors.connect + s.errors.read + s.errors.timeout, s.bytes))
end
"""


def posting(body):
    """Lua that posts JSON; `{n}` in it counts up, `{n%60}` counts around, from a number of this run's own."""
    text = body.replace("\\", "\\\\").replace('"', '\\"')
    text = re.sub(r"\{n%(\d+)\}", r'" .. (n % \1) .. "', text).replace("{n}", '" .. prefix .. n .. "')
    return ('math.randomseed(os.time()); prefix = math.random(1000000000) .. "-"; n = 0\n'
            'wrk.headers["Content-Type"] = "application/json"\n'
            f'request = function() n = n + 1; return wrk.format("POST", nil, nil, "{text}") end\n')


def request_bytes(url, token):
    host, _, path = url[7:].partition("/")
    return len(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n") + (len(f"Authorization: Bearer {token}\r\n") if token else 0)


def ended_cpu():
    """Seconds of CPU of all children that have ended: between two looks, wrk's."""
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def wrk(bench, url, token=None, connections=64, seconds=3, lua="", refused=False, cpu=None,
        does="posts JSON"):
    """{"rps", "p50_us", "p99_us", "bytes_in", "bytes_out", "client_cpu_us" (wrk's own), and for each of `cpu` {name:
    function that gives seconds} the microseconds a request used}. `does`: what the Lua is for. Every answer must be a success, or with `refused` every one
    a refusal."""
    cpu = cpu or {}
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(lua + DONE)
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
        shown = command + (["-H", "Authorization: Bearer …"] if token else []) + (["-s", f"({does})"] if lua else [])
        bench.command(shlex.join(shown).replace(f"'({does})'", f"({does})") + " http://…" +
                      re.sub(r"[0-9a-f-]{36}", "{id}", url[url.index("/", 8):]))
        if token:
            command += ["-H", "Authorization: Bearer " + token]
        cpu = {"client_cpu_us": ended_cpu, **cpu}
        before = {name: used() for name, used in cpu.items()}
        done = subprocess.run(command + ["-s", script.name, url], capture_output=True, text=True, env=dict(os.environ))
        after = {name: used() for name, used in cpu.items()}
    found = re.search(r"RESULT (.*)", done.stdout)
    if not found:
        raise RuntimeError(done.stdout + done.stderr)
    requests, micros, p50, p99, status, broken, size = map(int, found.group(1).split())
    if broken or status != (requests if refused else 0) or requests == 0:
        raise RuntimeError(f"{url}: {requests} answers, {status} refusals, {broken} broken connections\n{done.stdout}")
    result = {"rps": requests / (micros / 1e6), "p50_us": p50, "p99_us": p99, "bytes_out": size / requests,
              "requests": requests}
    if not lua:
        result["bytes_in"] = request_bytes(url, token)
    for name in cpu:
        result[name] = (after[name] - before[name]) * 1e6 / requests
    return result
