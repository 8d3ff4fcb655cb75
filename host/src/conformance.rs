//! A conformance run for plugin authors: does a device keep the contract?
//!
//! Drives a [`Device`](device::Device) in this process as clients would, without the wire, and gives a verdict for each
//! [`Rule`]. Each rule gets a device that was opened for it alone, so that a crash spoils no other verdict. A seed
//! decides every offset and length: the same seed makes the same requests.
//!
//! Knows no wasm: a [`Subject`] opens devices and passes on the plugin's claims.

mod dice;
mod rule;
mod subject;
mod verdict;

mod bench;

mod budgets;
mod claims;
mod extents;
mod reads;
mod speed;
mod writes;

pub(crate) use rule::Rule;
pub(crate) use subject::{Claims, Subject};
pub(crate) use verdict::{Outcome, Verdict};

use bench::Bench;
use verdict::Checked;

/// What a run may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The seed of all offsets, lengths and bytes.
    pub seed: u64,
    /// Whether the run may write to the device, and so destroy everything on it.
    pub write: bool,
}

/// Checks `rules` in the order given, and passes on each verdict at once.
///
/// [`Rule::Faults`] and the budgets judge the calls of the rules before them, so they come last in [`Rule::ALL`].
pub(crate) async fn run<S: Subject>(
    subject: &S,
    plan: Plan,
    rules: &[Rule],
    mut begins: impl FnMut(Rule),
    mut ended: impl FnMut(&Verdict),
) -> Vec<Verdict> {
    let mut bench = Bench::new(subject, plan);
    let mut verdicts = Vec::with_capacity(rules.len());
    for &rule in rules {
        begins(rule);
        let checked = match bench.renew(rule).await {
            Ok(()) => check(rule, &mut bench).await,
            Err(stop) => Err(stop),
        };
        bench.take_stock();
        let verdict = Verdict::new(rule, checked);
        ended(&verdict);
        verdicts.push(verdict);
    }
    verdicts
}

async fn check<S: Subject>(rule: Rule, bench: &mut Bench<'_, S>) -> Checked {
    match rule {
        Rule::ReadCuts => reads::cuts(bench).await,
        Rule::ReadLargest => reads::largest(bench).await,
        Rule::BlockSizes => reads::block_sizes(bench).await,
        Rule::ExtentsAnswer => extents::answer(bench).await,
        Rule::ExtentsZeroes => extents::zeroes(bench).await,
        Rule::ExtentsCuts => extents::cuts(bench).await,
        Rule::ExtentsOne => extents::one(bench).await,
        Rule::Fresh => claims::fresh(bench).await,
        Rule::Parallel => claims::parallel(bench).await,
        Rule::Immutable => claims::immutable(bench).await,
        Rule::Mapping => claims::mapping(bench).await,
        Rule::WriteModel => writes::model(bench).await,
        Rule::WriteExtents => writes::extents(bench).await,
        Rule::ZeroModes => writes::zero_modes(bench).await,
        Rule::Durable => writes::durable(bench).await,
        Rule::Speed => speed::measure(bench).await,
        Rule::Faults => budgets::faults(bench),
        Rule::Memory => budgets::memory(bench),
        Rule::CpuTime => budgets::cpu_time(bench),
        Rule::Handles => budgets::handles(bench),
        Rule::ExtentsBudget => budgets::extents(bench),
        Rule::Pieces => budgets::pieces(bench),
    }
}
