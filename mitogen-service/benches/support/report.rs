//! Figures of all rounds, the table for people, and JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use super::Result;
use super::options::Options;
use super::placement::Placement;
use super::samples::median;
use super::sequence::Place;

/// The floor that everything is compared with.
pub(crate) const RAW: &str = "raw socketpair";
/// The name of what is measured.
pub(crate) const OURS: &str = "mitogen-service";

/// A free round in which the floor exceeded its packed figure by this was spent waking CPUs that slept.
const OUTLIER: f64 = 2.0;

/// What a figure is: of which section, of what, where, and which.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    section: String,
    variant: String,
    placement: Placement,
    figure: String,
}

impl Key {
    fn new(Place { section, variant, placement }: Place<'_>, figure: &str) -> Self {
        Self { section: section.to_owned(), variant: variant.to_owned(), placement, figure: figure.to_owned() }
    }
}

/// Figures, one for each round.
#[derive(Default)]
pub(crate) struct Report {
    rounds: usize,
    series: BTreeMap<Key, Vec<f64>>,
    /// In the order in which they came.
    keys: Vec<Key>,
    goals: Vec<Judged>,
    /// What was not measured, and why.
    notes: Vec<String>,
}

/// What a figure shall be.
#[derive(Clone, Copy)]
pub(crate) struct Goal {
    must: Option<f64>,
    should: Option<f64>,
    stretch: Option<f64>,
    better: Better,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Better {
    Lower,
    Higher,
}

impl Goal {
    pub(crate) const fn at_most(must: f64, should: f64, stretch: f64) -> Self {
        Self { must: Some(must), should: Some(should), stretch: Some(stretch), better: Better::Lower }
    }

    pub(crate) const fn at_least(must: f64, should: f64, stretch: f64) -> Self {
        Self { must: Some(must), should: Some(should), stretch: Some(stretch), better: Better::Higher }
    }

    pub(crate) const fn must_be_at_most(must: f64) -> Self {
        Self { must: Some(must), should: None, stretch: None, better: Better::Lower }
    }

    /// The same, and better still.
    pub(crate) const fn and_should_be(self, should: f64) -> Self {
        Self { should: Some(should), ..self }
    }

    pub(crate) const fn must_be_at_least(must: f64) -> Self {
        Self { must: Some(must), should: None, stretch: None, better: Better::Higher }
    }

    fn holds(&self, value: f64, bound: Option<f64>) -> bool {
        bound.is_some_and(|bound| match self.better {
            Better::Lower => value <= bound,
            Better::Higher => value >= bound,
        })
    }

    /// Whether it is met, and how well.
    fn verdict(&self, value: f64) -> &'static str {
        let levels = [(self.stretch, "met (stretch)"), (self.should, "met (should)"), (self.must, "met")];
        let level = levels.into_iter().find(|(bound, _)| self.holds(value, *bound));
        level.map_or("missed", |(_, verdict)| verdict)
    }
}

struct Judged {
    what: String,
    value: f64,
    goal: Goal,
}

impl Report {
    pub(crate) fn new(rounds: usize) -> Self {
        Self { rounds, ..Self::default() }
    }

    /// A figure of the round that is under way.
    pub(crate) fn add(&mut self, place: Place<'_>, figure: &str, value: f64) {
        let key = Key::new(place, figure);
        if !self.series.contains_key(&key) {
            self.keys.push(key.clone());
        }
        self.series.entry(key).or_default().push(value);
    }

    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    fn series(&self, section: &str, variant: &str, placement: Placement, figure: &str) -> Option<&[f64]> {
        let key = Key::new(Place { section, variant, placement }, figure);
        self.series.get(&key).map(Vec::as_slice)
    }

    /// Whether a round counts: in free placement only if the floor of its section did not fly away.
    fn counts(&self, section: &str, placement: Placement, round: usize) -> bool {
        let floor = |placement| Some(*self.series(section, RAW, placement, "p50 us")?.get(round)?);
        match (placement, floor(Placement::Free), floor(Placement::Packed)) {
            (Placement::Free, Some(free), Some(packed)) => free <= OUTLIER * packed,
            _ => true,
        }
    }

    /// The median of the rounds that count.
    pub(crate) fn median(&self, section: &str, variant: &str, placement: Placement, figure: &str) -> f64 {
        let Some(values) = self.series(section, variant, placement, figure) else { return f64::NAN };
        let counted = values.iter().enumerate().filter(|(round, _)| self.counts(section, placement, *round));
        median(counted.map(|(_, value)| *value))
    }

    /// The median over rounds of one figure's ratio to another one of the same round.
    pub(crate) fn ratio(
        &self,
        section: &str,
        placement: Placement,
        (variant, figure): (&str, &str),
        (floor, floor_figure): (&str, &str),
    ) -> f64 {
        let values = self.series(section, variant, placement, figure).unwrap_or_default();
        let floors = self.series(section, floor, placement, floor_figure).unwrap_or_default();
        let ratios = values.iter().zip(floors).enumerate();
        let counted = ratios.filter(|(round, _)| self.counts(section, placement, *round));
        median(counted.map(|(_, (value, floor))| value / floor))
    }

    /// Puts a figure beside its goal.
    pub(crate) fn judge(&mut self, what: impl Into<String>, value: f64, goal: Goal) {
        if !value.is_nan() {
            self.goals.push(Judged { what: what.into(), value, goal });
        }
    }

    /// Prints everything, and writes the JSON if it was asked for.
    pub(crate) fn finish(&self, bench: &str, options: &Options) -> Result<()> {
        let mut out = std::io::stdout().lock();
        write!(out, "{}", self.text(bench, options)?)?;
        if let Some(file) = &options.json {
            std::fs::write(file, self.json(bench, options)?)?;
            writeln!(out, "\nall rounds: {}", file.display())?;
        }
        Ok(())
    }

    fn text(&self, bench: &str, options: &Options) -> Result<String> {
        let mut text = String::new();
        let kind = if options.quick { "a short run: the figures mean nothing" } else { "medians" };
        writeln!(text, "bench {bench}, {} rounds, {kind}", self.rounds)?;
        let mut sections: Vec<&str> = Vec::new();
        for key in &self.keys {
            if !sections.contains(&key.section.as_str()) {
                sections.push(&key.section);
            }
        }
        for section in sections {
            self.section_text(&mut text, section)?;
        }
        self.goals_text(&mut text)?;
        for note in &self.notes {
            writeln!(text, "\nnote: {note}")?;
        }
        Ok(text)
    }

    fn section_text(&self, text: &mut String, section: &str) -> Result<()> {
        let keys: Vec<&Key> = self.keys.iter().filter(|key| key.section == section).collect();
        let mut figures: Vec<&str> = Vec::new();
        let mut rows: Vec<(Placement, &str)> = Vec::new();
        for key in keys {
            if !figures.contains(&key.figure.as_str()) {
                figures.push(&key.figure);
            }
            if !rows.contains(&(key.placement, &key.variant)) {
                rows.push((key.placement, &key.variant));
            }
        }
        rows.sort_by_key(|(placement, _)| *placement);
        let mut table = vec![vec![section.to_owned(), "placement".to_owned()]];
        table[0].extend(figures.iter().map(|figure| (*figure).to_owned()));
        for (placement, variant) in rows {
            let mut row = vec![variant.to_owned(), placement.to_string()];
            row.extend(figures.iter().map(|figure| number(self.median(section, variant, placement, figure))));
            table.push(row);
        }
        writeln!(text)?;
        write_table(text, &table)?;
        self.floors_text(text, section)
    }

    /// The floor of each round, which says how far the others can be trusted.
    fn floors_text(&self, text: &mut String, section: &str) -> Result<()> {
        for placement in Placement::all() {
            let Some(floors) = self.series(section, RAW, placement, "p50 us") else { continue };
            let floors = floors.iter().enumerate().map(|(round, floor)| {
                let mark = if self.counts(section, placement, round) { "" } else { " (left out)" };
                format!("{}{mark}", number(*floor))
            });
            writeln!(text, "{RAW}, {placement}, p50 us of each round: {}", floors.collect::<Vec<_>>().join(", "))?;
        }
        Ok(())
    }

    fn goals_text(&self, text: &mut String) -> Result<()> {
        if self.goals.is_empty() {
            return Ok(());
        }
        let head = ["goals", "figure", "must", "should", "stretch", "verdict"];
        let mut table = vec![head.map(str::to_owned).to_vec()];
        for Judged { what, value, goal } in &self.goals {
            let sign = if goal.better == Better::Lower { "<=" } else { ">=" };
            let bound = |bound: Option<f64>| bound.map_or("-".to_owned(), |bound| format!("{sign} {bound}"));
            let bounds = [goal.must, goal.should, goal.stretch].map(bound);
            let [must, should, stretch] = bounds;
            table.push(vec![what.clone(), number(*value), must, should, stretch, goal.verdict(*value).to_owned()]);
        }
        writeln!(text)?;
        write_table(text, &table)
    }

    fn json(&self, bench: &str, options: &Options) -> Result<String> {
        let mut text = String::new();
        let quick = options.quick;
        writeln!(text, "{{\"bench\": {}, \"rounds\": {}, \"quick\": {quick},", quoted(bench), self.rounds)?;
        writeln!(text, " \"figures\": [")?;
        let figures = self.keys.iter().map(|key| {
            let Key { section, variant, placement, figure } = key;
            let values = self.series[key].iter().map(|value| json_number(*value)).collect::<Vec<_>>().join(", ");
            let left_out = (0..self.series[key].len()).filter(|round| !self.counts(section, *placement, *round));
            let left_out = left_out.map(|round| round.to_string()).collect::<Vec<_>>().join(", ");
            format!(
                "  {{\"section\": {}, \"variant\": {}, \"placement\": \"{placement}\", \"figure\": {}, \"median\": {}, \
                 \"rounds\": [{values}], \"left_out\": [{left_out}]}}",
                quoted(section),
                quoted(variant),
                quoted(figure),
                json_number(self.median(section, variant, *placement, figure)),
            )
        });
        writeln!(text, "{}\n ],\n \"goals\": [", figures.collect::<Vec<_>>().join(",\n"))?;
        let goals = self.goals.iter().map(|Judged { what, value, goal }| {
            let bound = |bound: Option<f64>| bound.map_or("null".to_owned(), json_number);
            format!(
                "  {{\"what\": {}, \"value\": {}, \"must\": {}, \"should\": {}, \"stretch\": {}, \"verdict\": {}}}",
                quoted(what),
                json_number(*value),
                bound(goal.must),
                bound(goal.should),
                bound(goal.stretch),
                quoted(goal.verdict(*value)),
            )
        });
        writeln!(text, "{}\n ],", goals.collect::<Vec<_>>().join(",\n"))?;
        let notes = self.notes.iter().map(|note| quoted(note)).collect::<Vec<_>>().join(", ");
        writeln!(text, " \"notes\": [{notes}]}}")?;
        Ok(text)
    }
}

/// With as many digits as mean something.
fn number(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "-".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn json_number(value: f64) -> String {
    if value.is_finite() { format!("{value:.4}") } else { "null".to_owned() }
}

fn quoted(text: &str) -> String {
    // The names in here are ours; only these two could break a string.
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// As Markdown, aligned, so that it can be read here and pasted into a page.
fn write_table(text: &mut String, rows: &[Vec<String>]) -> Result<()> {
    let columns = rows[0].len();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    for (at, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} "));
        writeln!(text, "|{}|", cells.collect::<Vec<_>>().join("|"))?;
        if at == 0 {
            let lines = widths.iter().map(|width| format!(" {} ", "-".repeat(*width)));
            writeln!(text, "|{}|", lines.collect::<Vec<_>>().join("|"))?;
        }
    }
    Ok(())
}
