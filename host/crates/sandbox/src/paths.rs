//! Landlock: it denies every path, every TCP port and every process outside (landlock(7)).

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, LandlockStatus, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

/// The newest version with which nbdbox was tested. An older kernel denies less, and [`deny`] names what is missing.
const TRIED: ABI = ABI::V7;

/// Denies this thread each path, TCP's `bind` and `connect`, abstract unix sockets and signals to processes outside, as
/// far as the kernel can. Returns what it can't deny.
///
/// # Errors
/// The kernel has Landlock, but refused it.
pub(crate) fn deny() -> Result<Vec<String>, RulesetError> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(TRIED))?
        .handle_access(AccessNet::from_all(TRIED))?
        .scope(Scope::from_all(TRIED))?
        .create()?
        .no_new_privs(true)
        .restrict_self()?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::FullyEnforced, _) => Vec::new(),
        (_, LandlockStatus::Available { effective_abi, .. }) => missing(effective_abi),
        (_, LandlockStatus::NotEnabled) => {
            vec![
                "Landlock (the kernel has it, but it isn't enabled at boot: lsm=landlock,…)"
                    .to_owned(),
            ]
        }
        (_, LandlockStatus::NotImplemented) => {
            vec!["Landlock (Linux 5.13 with CONFIG_SECURITY_LANDLOCK has it)".to_owned()]
        }
    })
}

/// The denials that a version lacks, compared with [`TRIED`].
fn missing(abi: ABI) -> Vec<String> {
    let lacks = [
        (ABI::V2, "links and renames across folders", "5.19"),
        (ABI::V3, "truncation by path", "6.2"),
        (ABI::V4, "TCP bind and connect", "6.7"),
        (ABI::V5, "ioctl on devices", "6.10"),
        (ABI::V6, "signals and abstract unix sockets", "6.12"),
    ];
    let lacks = lacks.into_iter().filter(|(since, ..)| abi < *since);
    lacks
        .map(|(_, what, linux)| format!("Landlock's denial of {what} (Linux {linux} has it)"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_denials_are_named_with_the_first_kernel_that_has_them() {
        assert_eq!(missing(ABI::V7), [""; 0]);
        assert_eq!(
            missing(ABI::V4),
            [
                "Landlock's denial of ioctl on devices (Linux 6.10 has it)",
                "Landlock's denial of signals and abstract unix sockets (Linux 6.12 has it)",
            ]
        );
    }
}
