//! The arguments of a bench.

use std::path::PathBuf;

use super::Result;

const USAGE: &str = "\
options of a bench, behind `--`:
  --rounds N     interleaved rounds, of which medians are taken; 7 by default
  --quick        one short round, which shows that everything works; its figures mean nothing
  --only NAME    one section alone, may be given several times
  --json FILE    all figures of all rounds, as JSON";

/// How a bench is to be run.
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    pub(crate) json: Option<PathBuf>,
    only: Vec<String>,
}

impl Options {
    /// Reads the command line of a bench that has these sections.
    pub(crate) fn from_args(sections: &[&str]) -> Result<Self> {
        let mut options = Self { rounds: 7, quick: false, json: None, only: Vec::new() };
        let mut rounds = None;
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value\n{USAGE}"));
            match arg.as_str() {
                // What cargo says to every bench.
                "--bench" => {}
                "--rounds" => rounds = Some(value()?.parse()?),
                "--quick" => options.quick = true,
                "--json" => options.json = Some(value()?.into()),
                "--only" => options.only.push(value()?),
                _ => return Err(format!("{arg:?} is no option\n{USAGE}").into()),
            }
        }
        if let Some(unknown) = options.only.iter().find(|name| !sections.contains(&name.as_str())) {
            return Err(format!("there is no section {unknown:?}; the sections are {}", sections.join(", ")).into());
        }
        options.rounds = rounds.unwrap_or(if options.quick { 1 } else { options.rounds });
        if options.rounds == 0 {
            return Err("no rounds, no figures".into());
        }
        Ok(options)
    }

    /// Whether this section is asked for.
    pub(crate) fn runs(&self, section: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == section)
    }

    /// So many of something, or a twentieth of it in a short run.
    pub(crate) fn scaled(&self, count: usize) -> usize {
        if self.quick { (count / 20).max(1) } else { count }
    }
}
