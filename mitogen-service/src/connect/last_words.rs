//! The last lines of a process's stderr, kept for the error that tells of its end.

use std::collections::VecDeque;

/// How many lines are kept.
const MAX_LINES: usize = 20;

/// How many bytes they may have together.
const MAX_BYTES: usize = 4 * 1024;

/// The last lines that were written.
#[derive(Debug, Default)]
pub(crate) struct LastWords {
    lines: VecDeque<String>,
    bytes: usize,
}

impl LastWords {
    /// Adds a line; the oldest ones make room for it.
    pub(crate) fn push(&mut self, line: &str) {
        let mut line = line.to_owned();
        crate::router::cut(&mut line, MAX_BYTES - 1);
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            let oldest = self.lines.pop_front().unwrap_or_default();
            self.bytes -= oldest.len() + 1;
        }
    }

    /// The lines, each with its end.
    pub(crate) fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_within_their_bounds() {
        let mut words = LastWords::default();
        assert_eq!(words.text(), "");
        for number in 0..30 {
            words.push(&number.to_string());
        }
        assert!(words.text().starts_with("10\n11\n") && words.text().ends_with("29\n"));
        words.push(&"x".repeat(10_000));
        assert_eq!(words.text().len(), MAX_BYTES);
    }
}
