//! Real clients as loads: fio, nbdcopy, nbdinfo, qemu-img.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::figures::Sample;

/// A load of fio's nbd engine.
pub(crate) fn fio(uri: &str, depth: u32, time: Duration) -> anyhow::Result<Sample> {
    let output = Command::new("fio")
        .args(["--name=bench", "--ioengine=nbd", "--rw=randread", "--bs=4k"])
        .args(["--time_based", "--norandommap", "--output-format=json"])
        .arg(format!("--uri={uri}"))
        .arg(format!("--iodepth={depth}"))
        .arg(format!("--runtime={}", time.as_secs().max(1)))
        .stderr(Stdio::null())
        .output()?;
    ensure!(output.status.success(), "fio failed");
    // fio may print other text before the JSON.
    let text = String::from_utf8(output.stdout)?;
    let json = text
        .find('{')
        .and_then(|at| text.get(at..))
        .context("fio's JSON")?;
    let report: serde_json::Value = serde_json::from_str(json)?;
    let read = report.pointer("/jobs/0/read").context("fio's figures")?;
    let number = |path: &str| read.pointer(path).and_then(serde_json::Value::as_f64);
    let nanos = |path: &str| number(path).map(|nanos| Duration::from_secs_f64(nanos / 1e9));
    Ok(Sample {
        rate: number("/iops").context("fio's iops")?,
        bytes: number("/bw_bytes"),
        middle: nanos("/clat_ns/percentile/50.000000"),
        late: nanos("/clat_ns/percentile/99.000000"),
        operations: number("/total_ios").context("fio's count")?,
        cpu: None,
    })
}

/// A program that runs to its end counts as one operation.
pub(crate) fn program(words: &[&str], uri: &str) -> anyhow::Result<Sample> {
    let words: Vec<&str> = words
        .iter()
        .map(|word| if *word == "URI" { uri } else { word })
        .collect();
    let start = Instant::now();
    let status = Command::new(words[0])
        .args(&words[1..])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("can't run {}", words[0]))?;
    let taken = start.elapsed();
    ensure!(status.success(), "{words:?} failed");
    Ok(Sample {
        rate: 1.0 / taken.as_secs_f64(),
        bytes: None,
        middle: Some(taken),
        late: None,
        operations: 1.0,
        cpu: None,
    })
}
