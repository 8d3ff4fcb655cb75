//! A disk of eight bytes: the result, in big-endian, of the call of WASI that `do=WHAT` selects. Most of these calls
//! must give nothing.
//!
//! The plugin imports WASI 0.2 by itself, on a target that has none.

use nbdbox_plugin::{
    Device, Errno, Error, Manifest, Plugin, ReadReply, Result, ValueKind, config, export,
};

mod bindings;

use bindings::wasi::cli::{environment, exit, stdin, stdout};
use bindings::wasi::clocks::monotonic_clock;
use bindings::wasi::filesystem::preopens;
use bindings::wasi::io::poll::Pollable;
use bindings::wasi::random::random;
use bindings::wasi::sockets::network::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress,
};
use bindings::wasi::sockets::{
    instance_network, ip_name_lookup, tcp_create_socket, udp_create_socket,
};

const YEAR_NS: u64 = 365 * 24 * 3600 * 1_000_000_000;

struct Wasi {
    deed: String,
    port: u16,
    /// The handles that it hoards.
    hoard: Vec<Pollable>,
}

impl Plugin for Wasi {
    fn manifest() -> Manifest {
        Manifest::new("wasi", "1.0.0", "asks for WASI")
            .default("do", ValueKind::Text, "", "what to ask for")
            .default("port", ValueKind::Number, "1", "whom to connect to")
    }

    fn open(_name: &str) -> Result<Self> {
        let port = config::number("port")?.unwrap_or(1);
        Ok(Self {
            deed: config::required_text("do")?,
            port: u16::try_from(port).map_err(|_| Error::invalid("no port"))?,
            hoard: Vec::new(),
        })
    }

    fn describe(&self) -> Device {
        Device::new(8).parallel()
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        let answer = self.answer(offset)?.to_be_bytes();
        let start = offset as usize;
        reply.data(&answer[start..start + length as usize]);
        Ok(())
    }
}

impl Wasi {
    /// The answer to a read at `offset`. Only a read at 0 calls WASI; a read at 4 works for 10 ms.
    fn answer(&mut self, offset: u64) -> Result<u64> {
        if offset > 0 {
            if offset == 4 {
                work(10);
            }
            return Ok(0);
        }
        let number = match self.deed.as_str() {
            "environment" => environment::get_environment().len() as u64,
            "arguments" => environment::get_arguments().len() as u64,
            "folder" => u64::from(environment::initial_cwd().is_some()),
            "preopens" => preopens::get_directories().len() as u64,
            "exit" => {
                exit::exit(Ok(()));
                0
            }
            "sleep" => {
                monotonic_clock::subscribe_duration(YEAR_NS).block();
                0
            }
            "nap" => {
                work(3);
                monotonic_clock::subscribe_duration(300_000_000).block();
                work(3);
                0
            }
            "pollables" => loop {
                self.hoard
                    .push(monotonic_clock::subscribe_duration(YEAR_NS));
            },
            "socket" => connect(self.port).map_err(refused)?,
            "datagrams" => udp_create_socket::create_udp_socket(IpAddressFamily::Ipv4)
                .map_err(refused)
                .map(|_socket| 1)?,
            "lookup" => look_up("localhost").map_err(refused)?,
            "random" => random::get_random_bytes(8)
                .try_into()
                .map(u64::from_be_bytes)
                .map_err(|_| Error::io("not eight bytes"))?,
            "random-flood" => random::get_random_bytes(64 << 20).len() as u64,
            "stdin" => {
                let bytes = stdin::get_stdin().blocking_read(1024);
                bytes.map_or(0, |bytes| bytes.len() as u64)
            }
            "stdout" => {
                let line = b"printed \x1b[2J\nforged line";
                let written = stdout::get_stdout().blocking_write_and_flush(line);
                u64::from(written.is_err())
            }
            "" => 0,
            other => return Err(Error::invalid(format!("no deed `{other}`"))),
        };
        Ok(number)
    }
}

/// Uses the CPU for this many milliseconds.
fn work(ms: u64) {
    let start = nbdbox_plugin::monotonic_ms();
    while nbdbox_plugin::monotonic_ms() - start < ms {}
}

/// Connects to a port of this machine. Returns 1 once the connection stands.
fn connect(port: u16) -> std::result::Result<u64, ErrorCode> {
    let socket = tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4)?;
    let address = IpSocketAddress::Ipv4(Ipv4SocketAddress {
        port,
        address: (127, 0, 0, 1),
    });
    socket.start_connect(&instance_network::instance_network(), address)?;
    loop {
        match socket.finish_connect() {
            Ok(_streams) => return Ok(1),
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            Err(error) => return Err(error),
        }
    }
}

/// Looks up a name. Returns 1 if it has an address.
fn look_up(name: &str) -> std::result::Result<u64, ErrorCode> {
    let network = instance_network::instance_network();
    let addresses = ip_name_lookup::resolve_addresses(&network, name)?;
    loop {
        match addresses.resolve_next_address() {
            Ok(address) => return Ok(u64::from(address.is_some())),
            Err(ErrorCode::WouldBlock) => addresses.subscribe().block(),
            Err(error) => return Err(error),
        }
    }
}

/// An error with the host's own error code, which the test checks.
fn refused(error: ErrorCode) -> Error {
    Error::new(Errno::Eperm, format!("the host says {}", error.name()))
}

export!(Wasi);
