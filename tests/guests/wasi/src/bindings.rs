//! The interfaces of WASI 0.2 that the plugin imports: parts of the real packages.
#![allow(clippy::all, clippy::pedantic, reason = "generated code")]

wit_bindgen::generate!({
    inline: "
        package test:wasi;

        world asks {
            import wasi:cli/environment@0.2.0;
            import wasi:cli/exit@0.2.0;
            import wasi:cli/stdin@0.2.0;
            import wasi:cli/stdout@0.2.0;
            import wasi:clocks/monotonic-clock@0.2.0;
            import wasi:filesystem/preopens@0.2.0;
            import wasi:random/random@0.2.0;
            import wasi:sockets/instance-network@0.2.0;
            import wasi:sockets/ip-name-lookup@0.2.0;
            import wasi:sockets/tcp-create-socket@0.2.0;
            import wasi:sockets/udp-create-socket@0.2.0;
        }

        package wasi:cli@0.2.0 {
            interface environment {
                get-environment: func() -> list<tuple<string, string>>;
                get-arguments: func() -> list<string>;
                initial-cwd: func() -> option<string>;
            }

            interface exit {
                exit: func(status: result);
            }

            interface stdin {
                use wasi:io/streams@0.2.0.{input-stream};
                get-stdin: func() -> input-stream;
            }

            interface stdout {
                use wasi:io/streams@0.2.0.{output-stream};
                get-stdout: func() -> output-stream;
            }
        }

        package wasi:clocks@0.2.0 {
            interface monotonic-clock {
                use wasi:io/poll@0.2.0.{pollable};
                type duration = u64;
                subscribe-duration: func(when: duration) -> pollable;
            }
        }

        package wasi:filesystem@0.2.0 {
            interface types {
                resource descriptor;
            }

            interface preopens {
                use types.{descriptor};
                get-directories: func() -> list<tuple<descriptor, string>>;
            }
        }

        package wasi:io@0.2.0 {
            interface error {
                resource error;
            }

            interface poll {
                resource pollable {
                    block: func();
                }
            }

            interface streams {
                use error.{error};

                variant stream-error {
                    last-operation-failed(error),
                    closed,
                }

                resource input-stream {
                    blocking-read: func(len: u64) -> result<list<u8>, stream-error>;
                }

                resource output-stream {
                    blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
                }
            }
        }

        package wasi:random@0.2.0 {
            interface random {
                get-random-bytes: func(len: u64) -> list<u8>;
            }
        }

        package wasi:sockets@0.2.0 {
            interface network {
                resource network;

                enum error-code {
                    unknown,
                    access-denied,
                    not-supported,
                    invalid-argument,
                    out-of-memory,
                    timeout,
                    concurrency-conflict,
                    not-in-progress,
                    would-block,
                    invalid-state,
                    new-socket-limit,
                    address-not-bindable,
                    address-in-use,
                    remote-unreachable,
                    connection-refused,
                    connection-reset,
                    connection-aborted,
                    datagram-too-large,
                    name-unresolvable,
                    temporary-resolver-failure,
                    permanent-resolver-failure,
                }

                enum ip-address-family {
                    ipv4,
                    ipv6,
                }

                type ipv4-address = tuple<u8, u8, u8, u8>;
                type ipv6-address = tuple<u16, u16, u16, u16, u16, u16, u16, u16>;

                variant ip-address {
                    ipv4(ipv4-address),
                    ipv6(ipv6-address),
                }

                record ipv4-socket-address {
                    port: u16,
                    address: ipv4-address,
                }

                record ipv6-socket-address {
                    port: u16,
                    flow-info: u32,
                    address: ipv6-address,
                    scope-id: u32,
                }

                variant ip-socket-address {
                    ipv4(ipv4-socket-address),
                    ipv6(ipv6-socket-address),
                }
            }

            interface instance-network {
                use network.{network};
                instance-network: func() -> network;
            }

            interface ip-name-lookup {
                use wasi:io/poll@0.2.0.{pollable};
                use network.{network, error-code, ip-address};

                resource resolve-address-stream {
                    resolve-next-address: func() -> result<option<ip-address>, error-code>;
                    subscribe: func() -> pollable;
                }

                resolve-addresses: func(network: borrow<network>, name: string)
                    -> result<resolve-address-stream, error-code>;
            }

            interface tcp {
                use wasi:io/streams@0.2.0.{input-stream, output-stream};
                use wasi:io/poll@0.2.0.{pollable};
                use network.{network, error-code, ip-socket-address};

                resource tcp-socket {
                    start-connect: func(network: borrow<network>, remote-address: ip-socket-address)
                        -> result<_, error-code>;
                    finish-connect: func() -> result<tuple<input-stream, output-stream>, error-code>;
                    subscribe: func() -> pollable;
                }
            }

            interface tcp-create-socket {
                use network.{error-code, ip-address-family};
                use tcp.{tcp-socket};
                create-tcp-socket: func(address-family: ip-address-family)
                    -> result<tcp-socket, error-code>;
            }

            interface udp {
                resource udp-socket;
            }

            interface udp-create-socket {
                use network.{error-code, ip-address-family};
                use udp.{udp-socket};
                create-udp-socket: func(address-family: ip-address-family)
                    -> result<udp-socket, error-code>;
            }
        }
    ",
    world: "asks",
    generate_all,
});
