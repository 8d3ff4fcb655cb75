#!/usr/bin/env bash
# Shows where a server's time goes: runs the load of a row of the benchmark, samples the server with perf, and
# sums up the samples by purpose.
#
#   tests/bench/profile.sh ROW PLUGIN [ARGUMENT…]
#   tests/bench/profile.sh pattern-read pattern size=1G
#
# Needs perf (Debian: linux-perf), and what `make bench` builds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

[ $# -ge 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
row=$1 plugin=$2
shift 2
scratch=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$scratch"' EXIT

target/release/nbdbox serve -U "$scratch/socket" -P "$scratch/pid" \
    "target/plugins/$plugin.wasm" "$@" 2>/dev/null &
server=$!
until [ -e "$scratch/pid" ]; do sleep 0.05; done
target/release/nbdbox-bench --load "$scratch/socket" --seconds 4 --rows "$row" >"$scratch/load" &
load=$!
sleep 0.5
perf record -q -e cpu-clock -F 4000 -g -p "$server" -o "$scratch/perf" sleep 3 >/dev/null 2>&1
wait "$load"
cat "$scratch/load"

# Joins the frames of a sample, innermost first, with `;` between them. The first rule that matches decides the
# purpose: by the system call if the sample is in the kernel, else by the innermost function.
perf script -i "$scratch/perf" -F comm,ip,sym,dso 2>/dev/null | awk '
    function purpose(stack, leaf) {
        if (stack ~ /exit_to_user_mode/)                return "preempted by the client"
        if (stack ~ /(__x64_sys_recv|ksys_read)/)       return "socket: receive"
        if (stack ~ /(do_writev|_sendmsg|ksys_write)/)  return "socket: send"
        if (stack ~ /(preadv|pread64|pwritev|pwrite64)/) return "file: its page cache"
        if (stack ~ /(epoll|futex|schedule)/)           return "wait and wake"
        if (stack ~ /clock_nanosleep/)                  return "clock"
        if (stack ~ /asm_exc_page_fault/)               return "page faults"
        if (stack ~ /kernel.kallsyms/)                  return "kernel, other"
        if (leaf ~ /wasmtime_builtin|libcalls/)         return "guest: its memory.copy and the like"
        if (leaf ~ /\.cwasm/ && leaf !~ /trampoline/)   return "guest"
        if (leaf ~ /memmove|memcpy|memset/)             return "copy"
        if (leaf ~ /trampoline|wasmtime|nbdbox::plugin/) return "call: wasmtime, pool, meters"
        if (leaf ~ /malloc|_int_free|cfree|realloc/)    return "malloc"
        if (leaf ~ /extent_map|nbdbox::mapping|BTreeMap/)                        return "extents map"
        if (leaf ~ /nbd_proto|dispatch|session|reply/)  return "parse and encode"
        if (leaf ~ /tokio|connection/)                  return "connection and runtime"
        return "other"
    }
    function flush() {
        if (depth) { count[purpose(stack, leaf)]++; all++ }
        depth = 0; stack = ""; leaf = ""
    }
    /^[^ \t]/  { flush(); next }
    NF == 0    { flush(); next }
    { frame = $0; sub(/^[ \t]*[0-9a-f]+ /, "", frame)
      if (!depth++) leaf = frame
      stack = stack frame ";" }
    END { flush(); for (what in count) printf "%5.1f %%  %s\n", 100 * count[what] / all, what }
' | sort -rn
