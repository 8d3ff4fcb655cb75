//! Rows as text: for scripts, and for the cells of the screen.

use nbd_client::printable;
use nbdbox_config::size::Bytes;

use super::figures::{Process, Row};
use crate::admin::StorageReport;

/// The headings of the columns.
pub(super) const HEADINGS: [&str; 11] = [
    "TENANT", "EXPORT", "CONN", "OPS/S", "MIB/S", "P99", "CPU%", "GUEST%", "MEMORY", "STORAGE",
    "FAULTS",
];

/// The cells of a row.
pub(super) fn cells(row: &Row) -> [String; 11] {
    let name = |name: &str| match name {
        "" => "-".to_owned(),
        name => printable(name),
    };
    let export = match &row.layer {
        Some(layer) => format!("{}/{}", name(&row.export), printable(layer)),
        None => name(&row.export),
    };
    [
        name(&row.tenant),
        export,
        row.connections.to_string(),
        format!("{:.0}", row.ops_per_second),
        format!("{:.1}", row.bytes_per_second / 1_048_576.0),
        row.p99_us.map_or("-".to_owned(), time),
        format!("{:.0}", row.cpu_percent),
        format!("{:.0}", row.guest_percent),
        Bytes(row.memory).to_string(),
        row.storage.as_ref().map_or("-".to_owned(), storage),
        row.faults.to_string(),
    ]
}

/// Formats the rows; each column is as wide as its widest cell. Names are on the left, numbers on the right.
pub(super) fn table(rows: &[Row]) -> String {
    let headings = HEADINGS.map(str::to_owned);
    let lines: Vec<[String; 11]> = std::iter::once(headings)
        .chain(rows.iter().map(cells))
        .collect();
    let widths: [usize; 11] = std::array::from_fn(|column| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or(0)
    });
    let line = |cells: &[String; 11]| {
        let padded = cells.iter().zip(widths).enumerate();
        let padded = padded.map(|(column, (cell, width))| match column {
            0 | 1 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        padded.collect::<Vec<_>>().join("  ") + "\n"
    };
    lines.iter().map(line).collect()
}

/// The whole process in a line. Its figures exceed the sum of the rows, because the process does more than serve.
pub(super) fn process(process: &Process) -> String {
    let Process { cpu_percent, now } = process;
    let bytes = |bytes: Option<u64>| bytes.map_or("?".to_owned(), |bytes| Bytes(bytes).to_string());
    let count = |count: Option<u64>| count.map_or("?".to_owned(), |count| count.to_string());
    format!(
        "process: {cpu_percent:.0} % of a core, {} resident, {} of it metered, {} threads, {} descriptors, {} mappings",
        bytes(now.resident),
        Bytes(now.metered),
        count(now.threads),
        count(now.descriptors),
        count(now.mappings),
    )
}

/// The storage operation that takes long, and its time or share, as in `flush:12s` and `zero:37%`.
fn storage(wait: &StorageReport) -> String {
    let operation = printable(&wait.operation);
    match (wait.done, wait.of) {
        (Some(done), Some(of)) if of > 0 => {
            let percent = u128::from(done) * 100 / u128::from(of);
            format!("{operation}:{percent}%")
        }
        _ => format!("{operation}:{}s", wait.ms / 1000),
    }
}

fn time(microseconds: u64) -> String {
    match microseconds {
        0..1000 => format!("{microseconds}us"),
        1000..1_000_000 => format!("{}ms", microseconds / 1000),
        _ => format!("{}s", microseconds / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_names_cannot_steer_the_terminal() {
        let row = Row {
            tenant: "a\x1b[2J".to_owned(),
            ops_per_second: 1234.4,
            bytes_per_second: 1_572_864.0,
            p99_us: Some(2048),
            memory: 3 << 29,
            ..Row::default()
        };
        let expected = "\
TENANT      EXPORT  CONN  OPS/S  MIB/S  P99  CPU%  GUEST%    MEMORY  STORAGE  FAULTS
a\\u{1b}[2J  -          0   1234    1.5  2ms     0       0  1.50 GiB        -       0
";
        assert_eq!(table(&[row]), expected);
    }
}
