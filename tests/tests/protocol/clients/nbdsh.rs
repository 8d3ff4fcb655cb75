//! Scripts for libnbd: requests that the other clients don't make.

use nbdbox_tests::{Server, nbdsh};

use super::oracle::Disk;

#[test]
fn a_read_of_a_sparse_export_comes_with_hole_chunks() {
    let server = Server::plugin("sparse", &["size=10M", "runlength=1M"]);
    let script = r#"
chunks = []
def chunk(buf, offset, status, error):
    assert error.value == 0
    if status == nbd.READ_HOLE:
        assert buf == bytes(len(buf))
    chunks.append((offset, len(buf), status))
bytes_read = h.pread_structured(10 << 20, 0, chunk)
assert sorted(chunks) == chunks, chunks
assert sum(length for _, length, _ in chunks) == 10 << 20
assert {status for _, _, status in chunks} == {nbd.READ_DATA, nbd.READ_HOLE}
# Where the map says zeroes there are hole chunks, and only there.
zeroes = []
def extents(context, offset, entries, error):
    for length, flags in zip(entries[::2], entries[1::2]):
        if flags & nbd.STATE_ZERO:
            if zeroes and sum(zeroes[-1]) == offset:
                zeroes[-1] = (zeroes[-1][0], zeroes[-1][1] + length)
            else:
                zeroes.append((offset, length))
        offset += length
    assert offset == 10 << 20
h.block_status(10 << 20, 0, extents)
holes = [(offset, length) for offset, length, status in chunks if status == nbd.READ_HOLE]
assert holes == zeroes, (holes, zeroes)
"#;
    let _ = nbdsh(&server.uri(), script).ok();
}

#[test]
fn dont_fragment_brings_one_data_chunk_with_the_same_bytes() {
    let server = Server::plugin("sparse", &["size=10M", "runlength=1M"]);
    let script = r#"
chunks = []
def chunk(buf, offset, status, error):
    chunks.append((offset, len(buf), status))
whole = h.pread_structured(10 << 20, 0, chunk, nbd.CMD_FLAG_DF)
assert chunks == [(0, 10 << 20, nbd.READ_DATA)], chunks
assert whole == h.pread(10 << 20, 0)
"#;
    let _ = nbdsh(&server.uri(), script).ok();
}

#[test]
fn a_client_without_structured_replies_reads_the_same_bytes() {
    let server = Server::plugin("sparse", &["size=3000003", "runlength=10000"]);
    let script = r#"
plain = nbd.NBD()
plain.set_request_structured_replies(False)
plain.connect_uri(uri)
assert not plain.get_structured_replies_negotiated()
assert h.get_structured_replies_negotiated()
assert not plain.can_df()
for offset, length in (0, 3000003), (1, 1), (9999, 20002), (3000002, 1):
    assert plain.pread(length, offset) == h.pread(length, offset), offset
"#;
    let _ = nbdsh(&server.uri(), script).ok();
}

#[test]
fn req_one_brings_the_first_extent_only() {
    let server = Server::plugin("sparse", &["size=10M", "runlength=1M"]);
    let script = r#"
def status(length, offset, flags=0):
    found = []
    def extents(context, at, entries, error):
        assert context == "base:allocation" and at == offset
        found.append(entries)
    h.block_status(length, offset, extents, flags)
    assert len(found) == 1
    return found[0]
for offset in 0, 1, (1 << 20) - 1, 5 << 20, (10 << 20) - 1:
    length = (10 << 20) - offset
    every = status(length, offset)
    one = status(length, offset, nbd.CMD_FLAG_REQ_ONE)
    assert len(one) == 2 and one == every[:2], (one, every)
assert len(status(10 << 20, 0)) > 2
# Not beyond what was asked.
assert status(10, 0, nbd.CMD_FLAG_REQ_ONE)[0] == 10
"#;
    let _ = nbdsh(&server.uri(), script).ok();
}

#[test]
fn a_32_bit_client_walks_the_map_of_a_huge_export() {
    let server = Server::plugin("memory", &["size=64G"]);
    let script = r#"
h.pwrite(b"x", 40 << 30)
extents = []
at = 0
while at < 64 << 30:
    def add(context, offset, entries, error):
        global at
        assert offset == at
        for length, flags in zip(entries[::2], entries[1::2]):
            if extents and extents[-1][1] == flags:
                extents[-1][0] += length
            else:
                extents.append([length, flags])
            at += length
    h.block_status(min((64 << 30) - at, 0xffff0000), at, add)
page = 32 << 10
assert extents == [[40 << 30, 3], [page, 0], [(24 << 30) - page, 3]], extents
"#;
    let _ = nbdsh(&server.uri(), script).ok();
}

#[test]
fn fua_is_taken_by_every_command_that_has_it() {
    let script = r#"
fua = nbd.CMD_FLAG_FUA
h.pwrite(b"a" * 5000, 3, fua)
h.zero(1000, 1003, fua)
h.trim(1000, 3003, fua)
h.flush()
assert h.pread(1000, 3) == b"a" * 1000
assert h.pread(1000, 1003) == bytes(1000)
assert h.pread(999, 4003 + 1) == b"a" * 999
"#;
    let memory = Server::plugin("memory", &["size=1M"]);
    let _ = nbdsh(&memory.uri(), script).ok();
    let file = Disk::new(&[0; 1 << 20]).serve("rw");
    let _ = nbdsh(&file.uri(), script).ok();
}

/// `refused(call, errno, text)`: the call fails with this errno, and the server sends this text.
const REFUSED: &str = r#"
messages = []
h.set_debug(True)
h.set_debug_callback(lambda context, message: messages.append(message) and 0 or 0)
def refused(call, number, text):
    del messages[:]
    try:
        call()
    except nbd.Error as error:
        assert error.errnum == number, error
    else:
        assert False, "the call succeeded"
    assert any("error server message: " + text in message for message in messages), messages
"#;

#[test]
fn errors_carry_a_text() {
    let server = Server::plugin("memory", &["size=4096"]);
    let script = r#"
refused(lambda: h.pread(2, 4095), errno.EINVAL, "the request reaches past the end of the export")
refused(lambda: h.pwrite(b"ab", 4095), errno.ENOSPC, "the request reaches past the end of the export")
refused(lambda: h.zero(2, 4095), errno.ENOSPC, "the request reaches past the end of the export")
refused(lambda: h.trim(2, 4095), errno.EINVAL, "the request reaches past the end of the export")
refused(lambda: h.cache(1, 0), errno.EINVAL, "the export doesn't support this command")
# And the connection is as good as before.
h.pwrite(b"ab", 4094)
assert h.pread(2, 4094) == b"ab"
"#;
    let _ = nbdsh(&server.uri(), &format!("{REFUSED}{script}")).ok();
}

#[test]
fn a_read_only_export_refuses_changes_with_a_text() {
    let server = Server::plugin("pattern", &["size=4096"]);
    let script = r#"
text = "the export is read-only"
refused(lambda: h.pwrite(b"a", 0), errno.EPERM, text)
refused(lambda: h.zero(1, 0), errno.EPERM, text)
refused(lambda: h.trim(1, 0), errno.EPERM, text)
assert h.pread(8, 8) == bytes([0, 0, 0, 0, 0, 0, 0, 8])
"#;
    let _ = nbdsh(&server.uri(), &format!("{REFUSED}{script}")).ok();
}

#[test]
fn the_plugins_own_words_reach_the_client() {
    let server = Server::plugin("memory", &["size=64M", "--limit", "memory=4MiB"]);
    let script = r#"
h.pwrite(b"kept", 0)
refused(lambda: h.pwrite(bytes(8 << 20), 0), errno.ENOSPC, "the plugin's memory limit is reached")
# It changed nothing, and what fits is still taken.
assert h.pread(4, 0) == b"kept"
h.pwrite(b"more", 1 << 20)
assert h.pread(4, 1 << 20) == b"more"
"#;
    let _ = nbdsh(&server.uri(), &format!("{REFUSED}{script}")).ok();
}

#[test]
fn connections_see_each_others_writes() {
    let script = r#"
assert h.can_multi_conn()
others = [connect() for _ in range(3)]
for round, writer in enumerate(others):
    offset = 1000 * round + 7
    data = bytes([65 + round]) * 1000
    writer.pwrite(data, offset)
    # Replied is visible, flush or not.
    for reader in [h] + others:
        assert reader.pread(1000, offset) == data
# A flush on one connection is for all; then a trim on another.
h.flush()
others[1].zero(1000, 1007)
assert others[2].pread(1000, 1007) == bytes(1000)
assert h.pread(1000, 7) == b"A" * 1000
"#;
    let memory = Server::plugin("memory", &["size=1M"]);
    let _ = nbdsh(&memory.uri(), script).ok();
    let file = Disk::new(&[1; 1 << 20]).serve("rw");
    let _ = nbdsh(&file.uri(), script).ok();
}

/// `drain(h, cookies)`: waits for the replies to all of these.
const DRAIN: &str = r#"
def drain(h, cookies):
    waiting = set(cookies)
    while waiting:
        assert h.poll(60000) == 1, "no reply comes"
        waiting -= {cookie for cookie in waiting if h.aio_command_completed(cookie)}
"#;

#[test]
fn many_reads_in_flight_each_get_their_own_bytes() {
    let server = Server::plugin("pattern", &["size=16M"]);
    let script = r#"
import struct
def expected(offset, length):
    first, last = offset // 8, (offset + length + 7) // 8
    words = b"".join(struct.pack(">Q", word * 8) for word in range(first, last))
    return words[offset - first * 8:][:length]
for length in 1, 4096, 65537:
    reads = []
    for index in range(64):
        buffer = nbd.Buffer(length)
        offset = (index * 2654435761) % ((16 << 20) - length)
        reads.append((offset, buffer, h.aio_pread(buffer, offset)))
    assert h.aio_in_flight() == 64
    drain(h, [cookie for _, _, cookie in reads])
    for offset, buffer, _ in reads:
        assert buffer.to_bytearray() == expected(offset, length), (offset, length)
"#;
    let _ = nbdsh(&server.uri(), &format!("{DRAIN}{script}")).ok();
}

#[test]
fn more_in_flight_than_the_server_takes_at_once_is_all_answered() {
    let server = Server::plugin(
        "memory",
        &["size=16M", "--limit", "requests=4,inflight=64KiB"],
    );
    let script = r#"
length = 10001
writes = [nbd.Buffer.from_bytearray(bytearray([index]) * length) for index in range(200)]
drain(h, [h.aio_pwrite(buffer, index * length) for index, buffer in enumerate(writes)])
reads = [nbd.Buffer(length) for _ in writes]
drain(h, [h.aio_pread(buffer, index * length) for index, buffer in enumerate(reads)])
for wrote, read in zip(writes, reads):
    assert wrote.to_bytearray() == read.to_bytearray()
"#;
    let _ = nbdsh(&server.uri(), &format!("{DRAIN}{script}")).ok();
}

#[test]
fn every_kind_of_request_is_in_flight_at_once() {
    let script = r#"
size = 1 << 20
h.pwrite(b"\xaa" * size, 0)
cookies = []
reads = []
# Each has 16 KiB of its own, so that the order doesn't matter.
for index in range(0, 64, 4):
    at = index * 16384
    cookies.append(h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(b"\xbb" * 16384)), at))
    cookies.append(h.aio_zero(16384, at + 16384))
    buffer = nbd.Buffer(16384)
    cookies.append(h.aio_pread(buffer, at + 32768))
    reads.append(buffer)
    cookies.append(h.aio_trim(16384, at + 49152))
    cookies.append(h.aio_flush())
    cookies.append(h.aio_block_status(size, 0, lambda context, offset, entries, error: 0))
drain(h, cookies)
for buffer in reads:
    assert buffer.to_bytearray() == b"\xaa" * 16384
for index in range(0, 64, 4):
    at = index * 16384
    assert h.pread(16384, at) == b"\xbb" * 16384
    assert h.pread(16384, at + 16384) == bytes(16384)
    assert h.pread(16384, at + 32768) == b"\xaa" * 16384
"#;
    let script = format!("{DRAIN}{script}");
    let memory = Server::plugin("memory", &["size=1M"]);
    let _ = nbdsh(&memory.uri(), &script).ok();
    let file = Disk::new(&[0; 1 << 20]).serve("rw");
    let _ = nbdsh(&file.uri(), &script).ok();
}

#[test]
fn the_largest_request_is_32_mebibytes() {
    // The time that the plugin takes for it doesn't matter here.
    let limits = "memory=128MiB,cpu=30s";
    let server = Server::plugin("memory", &["size=40M", "--limit", limits]);
    let script = r#"
largest = h.get_block_size(nbd.SIZE_MAXIMUM)
assert largest == 32 << 20
data = bytes(range(256)) * (largest // 256)
h.pwrite(data, 12345)
assert h.pread(largest, 12345) == data
refused(lambda: h.pread(largest + 1, 0), errno.EINVAL, "the request is longer than the maximum block size")
# What carries no data may be longer.
h.zero(40 << 20, 0)
assert h.pread(largest, 12345) == bytes(largest)
"#;
    let run = nbdsh(&server.uri(), &format!("{REFUSED}{script}"));
    assert_eq!(run.code, 0, "{}{}", run.stderr, server.log());
}

#[test]
fn reads_of_the_advertised_maximum_succeed_with_the_default_limits() {
    let script = r"
largest = h.get_block_size(nbd.SIZE_MAXIMUM)
assert largest > 0
whole = h.pread(largest, 12345)
assert whole[-4096:] == h.pread(4096, 12345 + largest - 4096)
";
    for plugin in ["pattern", "memory", "sparse"] {
        let server = Server::plugin(plugin, &["size=40M"]);
        let run = nbdsh(&server.uri(), script);
        assert_eq!(run.code, 0, "{plugin}: {}{}", run.stderr, server.log());
    }
}

#[test]
fn requests_of_no_bytes_do_nothing() {
    let server = Server::plugin("memory", &["size=1M"]);
    let script = r#"
assert h.pread(0, 5) == b""
h.pwrite(b"", 5)
h.trim(0, 5)
h.zero(0, 1 << 20)
found = []
h.block_status(1 << 20, 0, lambda context, offset, entries, error: found.append(entries))
assert found == [[1 << 20, 3]], found
"#;
    let _ = nbdsh(&server.uri(), script).ok();
}

#[test]
fn the_cache_command_is_taken_where_the_plugin_has_it() {
    let server = Disk::new(&[9; 100_001]).serve("map-only");
    let script = r#"
assert h.can_cache()
h.cache(100001, 0)
h.cache(1, 100000)
assert h.pread(100001, 0) == b"\x09" * 100001
"#;
    let _ = nbdsh(&server.uri(), script).ok();
}
