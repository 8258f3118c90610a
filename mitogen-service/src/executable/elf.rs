//! What an executable needs of the machine that it is to run on, read from its own headers.

use std::fmt;
use std::fs::File;
use std::io;

use object::elf::{EM_386, EM_AARCH64, EM_ARM, EM_PPC64, EM_RISCV, EM_S390, EM_X86_64, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind, ReadCache};

/// What an executable needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The machine, as Rust calls it.
    pub(crate) machine: &'static str,
    /// Its C library.
    pub(crate) libc: Libc,
}

/// The C library that an executable asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Libc {
    /// None: it runs with any, or without.
    Static,
    /// glibc, of this version at least.
    Glibc((u32, u32)),
    /// musl, loaded when it starts.
    Musl,
    /// Something else, by the path of what loads it.
    Other(String),
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.machine)?;
        match &self.libc {
            Libc::Static => write!(f, "with any C library"),
            Libc::Glibc((major, minor)) => write!(f, "with glibc {major}.{minor} or later"),
            Libc::Musl => write!(f, "with musl"),
            Libc::Other(loader) => write!(f, "with {loader}"),
        }
    }
}

/// What `uname -m` says on machines that Rust calls so.
pub(crate) fn uname_names(machine: &str) -> &[&'static str] {
    match machine {
        "x86_64" => &["x86_64", "amd64"],
        "aarch64" => &["aarch64", "arm64"],
        "x86" => &["i686", "i586", "i486", "i386"],
        "arm" => &["armv7l", "armv8l", "armv6l"],
        "riscv64" => &["riscv64"],
        "powerpc64" => &["ppc64le", "ppc64"],
        "s390x" => &["s390x"],
        _ => &[],
    }
}

/// Reads the headers of a file.
pub(super) fn inspect(file: File) -> io::Result<Needs> {
    let data = ReadCache::new(file);
    let needs = match FileKind::parse(&data) {
        Ok(FileKind::Elf64) => needs::<FileHeader64<Endianness>>(&data),
        Ok(FileKind::Elf32) => needs::<FileHeader32<Endianness>>(&data),
        _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not an ELF executable")),
    };
    needs.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("its ELF headers are wrong: {error}")))
}

fn needs<H: FileHeader<Endian = Endianness>>(data: &ReadCache<File>) -> object::Result<Needs> {
    let header = H::parse(data)?;
    let endian = header.endian()?;
    let machine = match header.e_machine(endian) {
        EM_X86_64 => "x86_64",
        EM_AARCH64 => "aarch64",
        EM_386 => "x86",
        EM_ARM => "arm",
        EM_RISCV => "riscv64",
        EM_PPC64 => "powerpc64",
        EM_S390 => "s390x",
        _ => "unknown",
    };
    let mut loader = None;
    for segment in header.program_headers(endian, data)? {
        loader = segment.interpreter(endian, data)?.or(loader);
    }
    let libc = match loader.map(String::from_utf8_lossy) {
        None => Libc::Static,
        Some(loader) if loader.contains("ld-musl") => Libc::Musl,
        Some(loader) if loader.contains("/ld-linux") || loader.contains("/ld64.so") => {
            Libc::Glibc(glibc::<H>(header, endian, data)?)
        }
        Some(loader) => Libc::Other(loader.into_owned()),
    };
    Ok(Needs { machine, libc })
}

/// The newest version of glibc that any symbol is wanted of.
fn glibc<H: FileHeader<Endian = Endianness>>(
    header: &H,
    endian: Endianness,
    data: &ReadCache<File>,
) -> object::Result<(u32, u32)> {
    let mut newest = (2, 0);
    let sections = header.sections(endian, data)?;
    let Some((mut needs, strings)) = sections.gnu_verneed(endian, data)? else { return Ok(newest) };
    let strings = sections.strings(endian, data, strings)?;
    while let Some((_, mut versions)) = needs.next()? {
        while let Some(version) = versions.next()? {
            let name = String::from_utf8_lossy(version.name(endian, strings)?);
            newest = newest.max(name.strip_prefix("GLIBC_").and_then(parse_version).unwrap_or(newest));
        }
    }
    Ok(newest)
}

/// The first two numbers of a version.
pub(crate) fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

impl Needs {
    /// Whether it runs on a machine that calls itself so and has this C library, in the words of the
    /// first stage: `glibc-2.36`, `glibc`, `musl`, `unknown`.
    pub(crate) fn run_on(&self, machine: &str, libc: &str) -> bool {
        uname_names(self.machine).contains(&machine)
            && match &self.libc {
                Libc::Static => true,
                Libc::Glibc(needed) => match libc.strip_prefix("glibc") {
                    // One that does not tell its version may be new enough.
                    Some(version) => parse_version(version.trim_start_matches('-')).is_none_or(|has| has >= *needed),
                    None => false,
                },
                Libc::Musl => libc == "musl",
                Libc::Other(_) => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(machine: &'static str, libc: Libc) -> Needs {
        Needs { machine, libc }
    }

    #[test]
    fn this_test_runs_where_it_runs() {
        let own = inspect(File::open(super::super::OWN).unwrap()).unwrap();
        assert_eq!(own.machine, std::env::consts::ARCH);
        assert!(uname_names(own.machine).contains(&std::env::consts::ARCH), "{own:?}");
        if cfg!(target_env = "gnu") {
            assert!(matches!(own.libc, Libc::Glibc(version) if version > (2, 0)), "{own:?}");
        }
    }

    #[test]
    fn what_is_needed_is_compared_with_what_is_there() {
        let gnu = needs("x86_64", Libc::Glibc((2, 34)));
        for (libc, runs) in
            [("glibc-2.36", true), ("glibc-2.34", true), ("glibc-2.28", false), ("glibc", true), ("musl", false)]
        {
            assert_eq!(gnu.run_on("x86_64", libc), runs, "{libc}");
        }
        assert!(!gnu.run_on("aarch64", "glibc-2.36"));
        assert!(needs("aarch64", Libc::Static).run_on("arm64", "unknown"));
        assert!(needs("x86_64", Libc::Musl).run_on("x86_64", "musl"));
        assert!(!needs("x86_64", Libc::Musl).run_on("x86_64", "glibc-2.36"));
        assert_eq!(gnu.to_string(), "x86_64 with glibc 2.34 or later");
    }
}
