#!/usr/bin/env python3
"""Measures 1,000 exports of 100 distinct plugins in one nbdbox, and as many nbdkit processes.

    tests/scale.py target/release/nbdbox [EXPORTS [PLUGINS [FILE]]]

Prints a line for each server. With FILE, writes a page with the results and the method to it.
"""
import os, platform, resource, signal, subprocess, sys, tempfile, time
import nbd

# Each client needs a socket, here and in the server.
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
binary = os.path.abspath(sys.argv[1])
exports = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
plugins = int(sys.argv[3]) if len(sys.argv) > 3 else 100


def pss(pids):
    """The proportional set size of processes, in MiB."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as rollup:
            total += next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    return total / 1024


def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.005)


def connect(uris):
    """Connects a client to each URI and reads once. Returns the clients and the time in seconds."""
    handles = []
    start = time.monotonic()
    for uri in uris:
        handle = nbd.NBD()
        handle.connect_uri(uri)
        handle.pread(4096, 0)
        handles.append(handle)
    return handles, time.monotonic() - start


rows = []


def report(name, ready, idle, took, connected):
    print(f"{name}: ready after {ready:.2f} s, idle {idle:.0f} MiB, "
          f"{exports} clients in {took:.1f} s, connected {connected:.0f} MiB", flush=True)
    rows.append(f"| {name} | {ready:.2f} | {idle:.0f} | {took:.1f} | {connected:.0f} "
                f"| {(connected - idle) * 1024 / exports:.0f} |\n")


PAGE = """\
# {exports} exports

Made by `make scale`. {date}; {model}, {cores} cores; Linux {kernel}; `{binary}`; {nbdkit}.

| | ready, s | idle, MiB | a client on each after, s | connected, MiB | KiB for each client |
|---|---:|---:|---:|---:|---:|
{rows}
## Method

nbdbox serves {exports} exports of {plugins} distinct plugins from one process and one unix socket. Each plugin is `pattern`
with a different custom section, so that each has its own digest, compilation and code. nbdkit serves its plugin
`pattern` from {exports} processes with a socket each.

- *Ready*: the time from the first start until all sockets exist. nbdbox's compile cache is warm, as after every start
  except the first; `nbdbox check` filled it before.
- *Idle*: no client has connected yet, so nbdbox has loaded no plugin.
- *Connected*: one after the other, a libnbd client for each export has connected, read 4 KiB and stayed. With nbdbox
  that loads {plugins} plugins and makes {exports} instances.
- Memory is the proportional set size in `/proc/PID/smaps_rollup`, summed over all processes.

## The pooling allocator

nbdbox doesn't use wasmtime's pooling allocator. On 2026-11-25 we measured this scene of 1,000 exports with the profile
of `make test`: the on-demand allocator against a pool of 2,000 slots (memories, tables, fibers), three runs each in
turn.

| allocator | ready, s | idle, MiB | a client on each after, s | connected, MiB |
|---|---:|---:|---:|---:|
| on demand | 0.04–0.05 | 20 | 0.6–0.7 | 174 |
| pool | 0.05–0.06 | 20–21 | 0.6–0.7 | 178 |

A pool gains nothing here. nbdbox makes an instance when a client connects and keeps it, instead of making one for each
request, and either allocator maps its memory copy-on-write. A pool has costs: its slots are one number for all tenants,
so nbdbox would have to reserve them per tenant; and its sizes for tables and instances are fixed, so it would refuse
plugins that run on demand.
"""


def page():
    with open("/proc/cpuinfo") as cpuinfo:
        model = next((line.split(": ", 1)[1].strip() for line in cpuinfo if line.startswith("model name")), "unknown")
    version = subprocess.run(["nbdkit", "--version"], capture_output=True, text=True).stdout.strip()
    return PAGE.format(exports=f"{exports:,}", plugins=plugins, rows="".join(rows), binary=sys.argv[1], date=time.strftime("%Y-%m-%d"),
                       model=model, cores=os.cpu_count(), kernel=platform.release(), nbdkit=version)


def nbdbox(folder):
    module = open("target/plugins/pattern.wasm", "rb").read()
    for number in range(plugins):
        # A custom section gives the same code another digest.
        word = f"{number:06}".encode()
        with open(f"{folder}/{number}.wasm", "wb") as copy:
            copy.write(module + bytes([0, 1 + 1 + len(word), 1]) + b"n" + word)
    with open(f"{folder}/nbdbox.toml", "w") as config:
        config.write(f'connections = 100000\n[[listener]]\nunix = "{folder}/socket"\n')
        config.write(f"[tenant.all]\nclients = [{{ uid = {os.getuid()} }}]\n")
        config.write('limits = { connections = 100000, instances = 100000, memory = "1TiB" }\n')
        for number in range(exports):
            config.write(f'[[tenant.all.export]]\nname = "{number}"\nplugin = "{number % plugins}.wasm"\n')
    # `check` compiles all plugins, so that the compile cache is warm, as after the first start.
    os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
    subprocess.run([binary, "check", f"{folder}/nbdbox.toml"], check=True, stdout=subprocess.DEVNULL)
    start = time.monotonic()
    server = subprocess.Popen([binary, "serve", "--config", f"{folder}/nbdbox.toml", "-P", f"{folder}/pid"],
                              stderr=subprocess.DEVNULL)
    wait_for(f"{folder}/pid")
    ready, idle = time.monotonic() - start, pss([server.pid])
    uris = [f"nbd+unix:///{number}?socket={folder}/socket" for number in range(exports)]
    handles, took = connect(uris)
    report("nbdbox, one process", ready, idle, took, pss([server.pid]))
    del handles
    server.send_signal(signal.SIGTERM)
    server.wait()


def nbdkit(folder):
    start = time.monotonic()
    servers = [subprocess.Popen(["nbdkit", "-f", "-U", f"{folder}/k{number}", "-P", f"{folder}/k{number}.pid",
                                 "pattern", "1M"]) for number in range(exports)]
    for number in range(exports):
        wait_for(f"{folder}/k{number}.pid")
    pids = [server.pid for server in servers]
    ready, idle = time.monotonic() - start, pss(pids)
    handles, took = connect([f"nbd+unix:///?socket={folder}/k{number}" for number in range(exports)])
    report("nbdkit, a process each", ready, idle, took, pss(pids))
    del handles
    for server in servers:
        server.terminate()
    for server in servers:
        server.wait()


with tempfile.TemporaryDirectory() as folder:
    nbdbox(folder)
    nbdkit(folder)
if len(sys.argv) > 4:
    with open(sys.argv[4], "w") as file:
        file.write(page())
