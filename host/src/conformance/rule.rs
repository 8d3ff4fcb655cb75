//! The rules of the contract, each with its name and its meaning.

/// One rule of the contract between the host and a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Reads agree however they are cut.
    ReadCuts,
    /// The largest request is answered.
    ReadLargest,
    /// The minimum block size is enough everywhere.
    BlockSizes,
    /// Extents are answered, to the end.
    ExtentsAnswer,
    /// What is called zero reads as zeroes.
    ExtentsZeroes,
    /// Extents don't depend on the question's borders.
    ExtentsCuts,
    /// `REQ_ONE` changes only the number of extents.
    ExtentsOne,
    /// Another instance is the same disk.
    Fresh,
    /// `parallel`: nothing that matters is in guest memory.
    Parallel,
    /// `immutable`: nothing changes.
    Immutable,
    /// Bytes are where the mapping says.
    Mapping,
    /// Writes, trims and zeroes do what a model does.
    WriteModel,
    /// What was written isn't reported as zero.
    WriteExtents,
    /// The flags of a zero are kept.
    ZeroModes,
    /// Flush and FUA are accepted.
    Durable,
    /// Calls per second.
    Speed,
    /// The host stopped no call, and found no broken limit.
    Faults,
    /// Headroom below the memory limit.
    Memory,
    /// Headroom below the CPU time of a call.
    CpuTime,
    /// Headroom below the number of handles.
    Handles,
    /// Headroom below the budget of adds.
    ExtentsBudget,
    /// Headroom below the number of pieces.
    Pieces,
}

impl Rule {
    /// All rules, in the order in which a run checks them.
    pub(crate) const ALL: [Self; 22] = [
        Self::ReadCuts,
        Self::ReadLargest,
        Self::BlockSizes,
        Self::ExtentsAnswer,
        Self::ExtentsZeroes,
        Self::ExtentsCuts,
        Self::ExtentsOne,
        Self::Fresh,
        Self::Parallel,
        Self::Immutable,
        Self::Mapping,
        Self::WriteModel,
        Self::WriteExtents,
        Self::ZeroModes,
        Self::Durable,
        Self::Speed,
        Self::Faults,
        Self::Memory,
        Self::CpuTime,
        Self::Handles,
        Self::ExtentsBudget,
        Self::Pieces,
    ];

    /// The rule's name in reports and options.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        self.words().0
    }

    /// What the rule requires of a plugin, in one line.
    #[must_use]
    pub(crate) const fn meaning(self) -> &'static str {
        self.words().1
    }

    /// The rule with this name.
    #[must_use]
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }

    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::ReadCuts => ("read-cuts", "reads agree however they are cut"),
            Self::ReadLargest => ("read-largest", "the largest request is answered"),
            Self::BlockSizes => ("block-sizes", "single blocks can be read anywhere"),
            Self::ExtentsAnswer => (
                "extents-answer",
                "extents are answered, up to the disk's end",
            ),
            Self::ExtentsZeroes => ("extents-zeroes", "zero and hole extents read as zeroes"),
            Self::ExtentsCuts => ("extents-cuts", "extents agree however the question is cut"),
            Self::ExtentsOne => ("extents-one", "REQ_ONE gets the same first extent"),
            Self::Fresh => ("fresh", "a fresh instance is the same disk"),
            Self::Parallel => ("parallel", "mode parallel keeps nothing in guest memory"),
            Self::Immutable => ("immutable", "what is immutable never changes"),
            Self::Mapping => ("mapping", "bytes are where the mapping says"),
            Self::WriteModel => ("write-model", "write, zero and trim do what they should"),
            Self::WriteExtents => ("write-extents", "what was written isn't called zero"),
            Self::ZeroModes => (
                "zero-modes",
                "fast zeroes are refused without a change, or done",
            ),
            Self::Durable => ("durable", "flush and FUA are accepted"),
            Self::Speed => ("speed", "calls per second (measured, not judged)"),
            Self::Faults => (
                "faults",
                "errors are errors: nothing was stopped or broke a limit",
            ),
            Self::Memory => ("memory", "memory stays below 80 % of its limit"),
            Self::CpuTime => (
                "cpu-time",
                "a call's CPU time stays below 80 % of its limit",
            ),
            Self::Handles => ("handles", "live handles stay below 80 % of their limit"),
            Self::ExtentsBudget => ("extents-budget", "adds stay below 80 % of their budget"),
            Self::Pieces => ("pieces", "a reply's pieces stay below 80 % of their limit"),
        }
    }
}
