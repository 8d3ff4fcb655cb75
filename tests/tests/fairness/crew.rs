//! Clients whose reads make plugins compute, all for the same time. A crew with more reads has had more of the cores.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use nbd_proto::Framing;
use nbdbox_tests::tenancy::export;
use nbdbox_tests::{Client, Server, guest};

/// An export whose guests do the same work for each read, in this many instances.
pub(crate) fn workshop(tenant: &str, name: &str, instances: usize, weight: u64) -> String {
    let settings = "settings = { at = \"read\", do = \"work\", mode = \"parallel\" }";
    let limits = format!(
        "limits = {{ instances = {instances}, cpu-weight = {weight}, cpu = \"10s\", wall = \"10min\" }}"
    );
    export(tenant, name, "bad", &format!("{settings}\n{limits}"))
}

/// The same work, half of it in a filter that calls the plugin below again and again.
pub(crate) fn filtered_workshop(tenant: &str, name: &str, instances: usize) -> String {
    let sly = guest("sly");
    let filter = format!(
        "filters = [{{ plugin = \"{}\", settings = {{ do = \"work\" }} }}]",
        sly.display()
    );
    format!("{}{filter}\n", workshop(tenant, name, instances, 100))
}

/// The byte that every read of the plugin returns.
const FILL: u8 = 0x42;

/// The offset of the reads, at which the filter works too.
const THERE: u64 = 4096;

/// This many clients of an export.
pub(crate) struct Crew {
    clients: Vec<Client>,
}

impl Crew {
    pub(crate) fn hire(server: &Server, tenant: &str, name: &str, count: usize) -> Self {
        let socket = server.folder().join(tenant);
        let connect = |_| Client::connect_to(&socket, name, Framing::Structured);
        let clients = (0..count).map(connect).collect();
        Self { clients }
    }

    /// All clients read until they have made `most` reads together, or `stop` is set. Returns the number of reads.
    pub(crate) fn work(&mut self, most: usize, stop: &AtomicBool) -> usize {
        let done = AtomicUsize::new(0);
        let work = |client: &mut Client| {
            let _all = Stop(stop);
            while !stop.load(Ordering::Relaxed) && done.load(Ordering::Relaxed) < most {
                assert_eq!(client.read(THERE, 1).unwrap(), [FILL]);
                done.fetch_add(1, Ordering::Relaxed);
            }
        };
        thread::scope(|scope| {
            for client in &mut self.clients {
                scope.spawn(|| work(client));
            }
        });
        done.into_inner()
    }
}

/// Sets `stop` when it's dropped, in a panic too, so that no client keeps working.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Both crews work until the first has made `most` reads. Returns the number of the second's.
pub(crate) fn beside(mine: &mut Crew, theirs: &mut Crew, most: usize) -> usize {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let others = scope.spawn(|| theirs.work(usize::MAX, &stop));
        let _ = mine.work(most, &stop);
        others.join().unwrap()
    })
}

pub(crate) fn cores() -> usize {
    thread::available_parallelism().unwrap().get()
}
