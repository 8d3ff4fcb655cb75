//! A schedule: the export and its limits, its disk, its clients, and the stop of the server.

mod bounds;
mod draws;

use std::time::Duration;

use device::ExtentsOnError;
use fastrand::Rng;
use nbd_proto::{BlockSizes, Export, Framing};
use nbdbox_config::limits::{Limits, TenantLimits};

pub(crate) use draws::{chance, time};

use draws::{export, limits, ms, pick, tenant, up_to};

/// Everything that a seed decides.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) export: Export,
    pub(crate) extents_on_error: ExtentsOnError,
    pub(crate) limits: Limits,
    pub(crate) tenant: TenantLimits,
    pub(crate) disk: DiskPlan,
    pub(crate) clients: Vec<ClientPlan>,
    /// The number of requests that may be under way, if nothing else limits the clients.
    pub(crate) crowd: Option<u32>,
    pub(crate) stop: Option<Stop>,
    /// Bytes that fit into each direction of a stream.
    pub(crate) pipe: usize,
}

/// The behaviour of the disk. Chances are per mille, for each wait or call.
#[derive(Clone, Debug)]
pub(crate) struct DiskPlan {
    pub(crate) seed: u64,
    /// The chance that a wait takes time, up to [`longest`](Self::longest).
    pub(crate) waits: u32,
    pub(crate) longest: Duration,
    /// The chance that a wait is for storage, up to [`still`](Self::still). The request's time stands still meanwhile.
    pub(crate) stands_still: u32,
    pub(crate) still: Duration,
    /// The chance that a wait ends only with the request's deadline.
    pub(crate) stalls: u32,
    pub(crate) fails: u32,
    /// The chance that the disk loses a change that it has answered.
    pub(crate) loses: u32,
    /// The longest time for an open, an enter or a leave.
    pub(crate) around: Duration,
    /// The chance that an open or an enter fails.
    pub(crate) refuses: u32,
}

/// The behaviour of a client.
#[derive(Clone, Debug)]
pub(crate) struct ClientPlan {
    pub(crate) seed: u64,
    pub(crate) arrives: Duration,
    pub(crate) way: Way,
    /// The number of options that agree on nothing.
    pub(crate) detours: usize,
    /// The client sends all options before it reads a reply.
    pub(crate) hasty: bool,
    pub(crate) requests: usize,
    /// The most requests that it has under way.
    pub(crate) depth: usize,
    /// The longest pause before a request, or inside one.
    pub(crate) pause: Duration,
    pub(crate) reading: Reading,
    pub(crate) ending: Ending,
    /// The client stops after this byte.
    pub(crate) cut: Option<u64>,
    /// The time after which the client hangs up if it is silent or reads nothing.
    pub(crate) patience: Duration,
    /// The time for which the client keeps its stream open after it has read all.
    pub(crate) dawdles: Duration,
}

/// The options of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// They lead to the transmission phase.
    Go {
        framing: Framing,
        allocation: bool,
        sizes: bool,
    },
    /// EXPORT_NAME leads there.
    ExportName { structured: bool },
    /// LIST and ABORT.
    Leave,
    /// Flags or an option that the server can't accept.
    Nonsense,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    AtOnce,
    /// This number of bytes after each pause.
    Slow(usize, Duration),
    /// Nothing after this number of bytes.
    Until(usize),
}

/// The way in which a client stops sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Sends DISC. Hangs up if its plan ends before that.
    Disconnect,
    /// Closes its sending side, and reads on.
    HalfClose,
    HangUp,
    /// Sends nothing more, and stays.
    Silence,
    /// Sends bytes that are no request, and closes its sending side.
    Nonsense,
}

/// The stop of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) when: When,
    /// The time after which the server drops its connections.
    pub(crate) drain: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    After(Duration),
    /// When the first client has sent this number of bytes.
    Sent(u64),
}

impl Schedule {
    pub(crate) fn of(seed: u64) -> Self {
        let random = &mut Rng::with_seed(seed);
        let count = pick(random, &[1, 1, 1, 2, 2, 3, 4]);
        let stop = chance(random, 350).then(|| Stop {
            when: When::After(up_to(random, &[ms(20), ms(300), ms(3000)])),
            drain: pick(random, &[ms(0), ms(50), ms(2000), ms(10_000), ms(60_000)]),
        });
        let mut schedule = Self {
            export: export(random),
            extents_on_error: pick(random, &[ExtentsOnError::Data, ExtentsOnError::Error]),
            limits: limits(random),
            tenant: tenant(random),
            disk: DiskPlan::of(random),
            clients: (0..count).map(|_| ClientPlan::of(random)).collect(),
            crowd: None,
            stop,
            pipe: pick(random, &[7, 100, 1000, 4096, 16 << 10, 64 << 10, 64 << 10]),
        };
        if chance(random, 150) {
            schedule.crowd(random);
        }
        schedule
    }

    /// Makes the number of requests the only limit, and lets all clients read at once.
    fn crowd(&mut self, random: &mut Rng) {
        let most = pick(random, &[1, 1, 2, 3]);
        let limits = limits(random);
        self.crowd = Some(most);
        self.limits = Limits {
            requests: 64,
            inflight: Limits::default().inflight,
            iops: None,
            bandwidth: None,
            total_requests: Some(most.into()),
            total_inflight: None,
            ..limits
        };
        self.tenant = TenantLimits {
            requests: usize::MAX,
            inflight: u64::MAX,
            ..TenantLimits::default()
        };
        self.disk.refuses = 0;
        self.clients.truncate(3);
        self.clients
            .resize_with(self.clients.len().max(2), || ClientPlan::of(random));
        for client in &mut self.clients {
            client.reading = Reading::AtOnce;
        }
        self.stop = self.stop.map(|stop| Stop {
            drain: ms(60_000),
            ..stop
        });
        self.pipe = 64 << 10;
    }

    /// A short schedule of one client without limits.
    pub(crate) fn short(seed: u64, framing: Framing) -> Self {
        let random = &mut Rng::with_seed(seed);
        let mut client = ClientPlan::of(random);
        client.way = Way::Go {
            framing,
            allocation: true,
            sizes: true,
        };
        client.arrives = ms(0);
        client.detours = 1;
        client.requests = 8;
        client.depth = 8;
        client.pause = ms(1);
        client.reading = Reading::AtOnce;
        client.ending = Ending::Disconnect;
        client.cut = None;
        let mut export = export(random);
        export.size = 256;
        export.block = BlockSizes::default();
        export.enforced = None;
        let mut disk = DiskPlan::of(random);
        disk.refuses = 0;
        Self {
            export,
            extents_on_error: ExtentsOnError::Data,
            limits: Limits {
                wall: ms(500),
                ..Limits::default()
            },
            tenant: TenantLimits::default(),
            disk,
            clients: vec![client],
            crowd: None,
            stop: None,
            pipe: 64 << 10,
        }
    }

    /// Adds a second client. Both together may have `most` requests under way, and the disk often waits for storage.
    pub(crate) fn with_neighbour(mut self, most: u32) -> Self {
        let mut neighbour = self.clients[0].clone();
        neighbour.seed += 1;
        neighbour.arrives = ms(2);
        self.clients.push(neighbour);
        self.limits.total_requests = Some(most.into());
        self.tenant.requests = usize::MAX;
        self.tenant.inflight = u64::MAX;
        self.crowd = Some(most);
        self.disk.stands_still = 100;
        self
    }
}

impl ClientPlan {
    /// Lets it stop after this byte.
    pub(crate) fn end_at(&mut self, at: u64, ending: Ending) {
        self.cut = Some(at);
        self.ending = ending;
    }
}
