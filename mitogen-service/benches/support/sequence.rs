//! Measuring calls: one after the other, or as many as fit into the time.

use std::time::Instant;

use super::placement::Placement;
use super::report::{RAW, Report};
use super::samples::Samples;
use super::{Result, floor, process};

/// Where a figure belongs.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) section: &'a str,
    pub(crate) variant: &'a str,
    pub(crate) placement: Placement,
}

/// Calls one after the other, maybe in several turns, and the CPU time of all processes meanwhile.
pub(crate) struct Sequence {
    samples: Samples,
    cpu: f64,
}

impl Sequence {
    pub(crate) fn new(calls: usize) -> Self {
        Self { samples: Samples::with_capacity(calls), cpu: 0.0 }
    }

    /// `pids`: the processes that take part beside this one.
    pub(crate) fn run(&mut self, calls: usize, pids: &[u32], mut call: impl FnMut(u64) -> Result<()>) -> Result<()> {
        // What others have left in the caches is none of its business.
        (0..calls as u64 / 10).try_for_each(&mut call)?;
        let cpu = process::cpu_with(pids);
        let mut before = Instant::now();
        for number in 0..calls as u64 {
            call(number)?;
            let now = Instant::now();
            self.samples.push(now - before);
            before = now;
        }
        self.cpu += (process::cpu_with(pids) - cpu).as_secs_f64();
        Ok(())
    }

    pub(crate) fn report(&mut self, report: &mut Report, place: Place<'_>) {
        report_samples(report, place, &mut self.samples);
        report.add(place, "CPU us", self.cpu * 1e6 / self.samples.len() as f64);
        report.add(place, "calls/s", 1e6 / self.samples.mean_us());
    }
}

pub(crate) fn report_samples(report: &mut Report, place: Place<'_>, samples: &mut Samples) {
    report.add(place, "p50 us", samples.percentile_us(0.5));
    report.add(place, "p99 us", samples.percentile_us(0.99));
    report.add(place, "mean us", samples.mean_us());
}

/// The floor beside which a section puts its figures.
pub(crate) fn raw(
    report: &mut Report,
    (section, placement): (&str, Placement),
    calls: usize,
    socket: &mut floor::Echo,
) -> Result<()> {
    let mut sequence = Sequence::new(calls);
    let pid = socket.pid();
    sequence.run(calls, &[pid], |number| socket.call(number))?;
    sequence.report(report, Place { section, variant: RAW, placement });
    Ok(())
}

/// Measures how many calls a second `work` makes, all in all.
pub(crate) fn rate(
    report: &mut Report,
    place: Place<'_>,
    calls: usize,
    pids: &[u32],
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let cpu = process::cpu_with(pids);
    let started = Instant::now();
    work()?;
    let elapsed = started.elapsed().as_secs_f64();
    let cpu = (process::cpu_with(pids) - cpu).as_secs_f64();
    report.add(place, "CPU us", cpu * 1e6 / calls as f64);
    report.add(place, "calls/s", calls as f64 / elapsed);
    Ok(())
}
