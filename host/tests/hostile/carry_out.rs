//! Carries out one attack, and checks all of its results.

use std::time::Duration;

use blob::Access;
use device::fault::Cause;
use device::metrics::Outcome;
use nbd_client::{Answer, Client, Refused};
use nbd_proto::client::Request;
use nbd_proto::{CommandFlags, Descriptor, Errno, StateFlags};
use nbdbox_config::limits::Limits;
use tokio::net::UnixStream;

use crate::attacks::{Attack, Call, Meets};
use crate::scene::{AMPLE, Neighbour, Served, World};

/// The offset at which the plugin attacks; at all others it behaves.
const THERE: u64 = 4096;
const LENGTH: u32 = 512;

/// Carries out an attack on a fresh export, and checks the result. Afterwards the export recovers. The attack never
/// holds up the neighbour.
pub(crate) async fn carry_out(world: &World, neighbour: &Neighbour, attack: &Attack) {
    let name = format!("{}-{}", attack.call.name(), attack.deed);
    let (at, deed) = (
        format!("at={}", attack.call.name()),
        format!("do={}", attack.deed),
    );
    let offset = format!("offset={THERE}");
    let mut settings = vec!["mode=parallel", "blob=b", at.as_str(), deed.as_str()];
    if attack.call != Call::Flush {
        settings.push(&offset);
    }
    // Attacks on other limits must meet those limits, and not the CPU time on a busy machine.
    let cpu = match attack.meets {
        Meets::Fault(Cause::CpuTime) | Meets::Fallback(Cause::CpuTime) => Limits::default().cpu,
        _ => AMPLE,
    };
    let opened = world
        .open(&world.bad, &name, &settings, Access::ReadOnly, cpu)
        .await;
    let catalog = opened.unwrap_or_else(|error| panic!("{name}: {error:#}"));
    let mut served = World::serve(catalog, &name).await;
    let answer = perform(&mut served.client, attack.call).await;
    check_answer(attack, &answer);
    check_count_and_log(world, attack, &name, &served);
    neighbour.goes_on().await;
    recovers(&mut served, &name).await;
}

async fn perform(client: &mut Client<UnixStream>, call: Call) -> Result<Answer, Refused> {
    let cookie = client.next_cookie();
    let length = u64::from(LENGTH);
    let request = match call {
        Call::Read | Call::Locate => Request::read(cookie, THERE, LENGTH),
        Call::Write => Request::write(client.agreed().framing, cookie, THERE, LENGTH),
        Call::Flush => Request::flush(cookie),
        Call::Trim => Request::trim(cookie, THERE, length),
        Call::Zero => Request::write_zeroes(cookie, THERE, length).with(CommandFlags::NO_HOLE),
        Call::Cache => Request::cache(cookie, THERE, length),
        Call::Report => Request::block_status(cookie, THERE, (1 << 20) - THERE),
    };
    let payload: &[u8] = if call == Call::Write {
        &[7; LENGTH as usize]
    } else {
        &[]
    };
    client.ask(request, payload).await.unwrap()
}

fn check_answer(attack: &Attack, answer: &Result<Answer, Refused>) {
    match (attack.meets, answer) {
        (Meets::Fault(_), Err(refused)) => assert_eq!(refused.errno, Errno::Eio, "{attack:?}"),
        (Meets::Errno(errno), Err(refused)) => assert_eq!(refused.errno, errno, "{attack:?}"),
        (Meets::Fallback(_) | Meets::Excused, Ok(answer)) => {
            let data = Descriptor {
                length: (1 << 20) - THERE,
                flags: StateFlags::empty(),
            };
            assert_eq!(answer.descriptors, [data], "{attack:?}");
        }
        (Meets::Ignored(_), Ok(answer)) => {
            assert_eq!(answer.bytes, [0x42; LENGTH as usize], "{attack:?}");
        }
        (Meets::Nothing, Ok(answer)) => {
            assert_eq!(answer.bytes.len(), LENGTH as usize, "{attack:?}");
        }
        _ => panic!("{attack:?} met {answer:?}"),
    }
}

fn check_count_and_log(world: &World, attack: &Attack, name: &str, served: &Served) {
    let metrics = served.export.metrics();
    let lines = world.log.lines_of(name);
    match attack.meets {
        Meets::Fault(cause) | Meets::Fallback(cause) | Meets::Ignored(cause) => {
            assert_eq!(metrics.fault(cause).get(), 1, "{attack:?}: {lines:?}");
            let warned = lines
                .iter()
                .any(|line| line.contains("WARN") && line.contains("plugin=\"bad\""));
            assert!(warned, "{attack:?}: {lines:?}");
        }
        Meets::Errno(_) | Meets::Excused => {
            let answered = metrics.operations.with(Outcome::Answered);
            assert_eq!(answered, 1, "{attack:?}: {lines:?}");
        }
        Meets::Nothing => {}
    }
    let fallback = matches!(attack.meets, Meets::Fallback(_) | Meets::Excused);
    assert_eq!(
        metrics.extents_fallbacks.get(),
        u64::from(fallback),
        "{attack:?}"
    );
    for line in lines {
        assert!(
            line.len() < 5000 && !line.contains('\x1b'),
            "{attack:?}: {line}"
        );
    }
}

/// A fresh instance serves the next request, after a pause of some milliseconds.
async fn recovers(served: &mut Served, name: &str) {
    for _ in 0..500 {
        if let Ok(bytes) = served.read(0, LENGTH).await {
            assert_eq!(bytes, [0x42; LENGTH as usize], "{name}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{name} doesn't recover");
}
