//! The one line of output.

use std::fmt;

use crate::support::process::Memory;

/// A JSON object, in the order in which things were put into it.
pub(crate) struct Report {
    fields: Vec<(&'static str, String)>,
}

impl Report {
    pub(crate) fn new(name: &str, mode: &str, count: u64) -> Self {
        Self { fields: vec![("name", quoted(name)), ("mode", quoted(mode)), ("n", count.to_string())] }
    }

    pub(crate) fn number(&mut self, key: &'static str, value: f64) {
        self.fields.push((key, format!("{value:.3}")));
    }

    pub(crate) fn memory(&mut self, key: &'static str, memory: Memory) {
        let Memory { rss_kib, hwm_kib, pss_kib, threads } = memory;
        let value = format!(
            "{{\"rss_kib\": {rss_kib}, \"hwm_kib\": {hwm_kib}, \"pss_kib\": {pss_kib}, \"threads\": {threads}}}"
        );
        self.fields.push((key, value));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.fields.iter().map(|(key, value)| format!("\"{key}\": {value}"));
        write!(f, "{{{}}}", fields.collect::<Vec<_>>().join(", "))
    }
}

fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04x}", c as u32),
        c => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_name_is_the_line_is_json() {
        let mut report = Report::new("a \"b\\\n", "rtt", 7);
        report.number("p50_us", 1.5);
        let expected = "{\"name\": \"a \\\"b\\\\\\u000a\", \"mode\": \"rtt\", \"n\": 7, \"p50_us\": 1.500}";
        assert_eq!(report.to_string(), expected);
    }
}
