//! Which paths contexts may fetch that are no parents: plain data, but for the handles of directories.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::canonicalize;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::beneath::Directory;

/// How many paths and prefixes a service keeps: each holds a descriptor.
const MAX: usize = 1024;

/// What was registered, by the names under which it is asked for.
#[derive(Debug, Default)]
pub(super) struct Registered {
    files: BTreeMap<PathBuf, Place>,
    prefixes: BTreeMap<PathBuf, Arc<Directory>>,
}

/// A name in a directory.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) directory: Arc<Directory>,
    pub(super) name: PathBuf,
}

/// A path that is to be registered, with the directory that it lies in.
#[derive(Debug)]
pub(super) struct Registration {
    path: PathBuf,
    place: Place,
}

impl Registration {
    /// One file. Links in its name are followed now, and never again; it need not be there yet.
    pub(super) fn of_file(path: &Path) -> io::Result<Self> {
        must_be_absolute(path)?;
        let name = path.file_name().filter(|_| !path.as_os_str().as_bytes().ends_with(b"/"));
        let (Some(name), Some(parent)) = (name, path.parent()) else {
            return Err(invalid(format!("{} names no file", path.display())));
        };
        let real = match canonicalize(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => canonicalize(parent)?.join(name),
            real => real?,
        };
        let (Some(name), Some(parent)) = (real.file_name(), real.parent()) else {
            return Err(invalid(format!("{} names no file", path.display())));
        };
        let directory = Arc::new(Directory::open(parent)?);
        Ok(Self { path: path.to_owned(), place: Place { directory, name: name.into() } })
    }

    /// Everything beneath a directory.
    pub(super) fn of_prefix(path: &Path) -> io::Result<Self> {
        must_be_absolute(path)?;
        let directory = Arc::new(Directory::open(path)?);
        Ok(Self { path: path.to_owned(), place: Place { directory, name: PathBuf::new() } })
    }
}

fn must_be_absolute(path: &Path) -> io::Result<()> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(invalid(format!("{} is not absolute, and would mean another file in another directory", path.display())))
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

impl Registered {
    /// Registers a file, again if need be.
    pub(super) fn add_file(&mut self, new: Registration) -> io::Result<()> {
        self.has_room(self.files.contains_key(&new.path))?;
        self.files.insert(new.path, new.place);
        Ok(())
    }

    /// Registers a prefix, again if need be.
    pub(super) fn add_prefix(&mut self, new: Registration) -> io::Result<()> {
        self.has_room(self.prefixes.contains_key(&new.path))?;
        self.prefixes.insert(new.path, new.place.directory);
        Ok(())
    }

    fn has_room(&self, is_known: bool) -> io::Result<()> {
        if is_known || self.files.len() + self.prefixes.len() < MAX {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "{MAX} paths and prefixes are registered, which is as many as may be: register a prefix that holds them"
        )))
    }

    /// Forgets a path, as a file and as a prefix; `false` if it was neither.
    pub(super) fn remove(&mut self, path: &Path) -> bool {
        let file = self.files.remove(path);
        let prefix = self.prefixes.remove(path);
        file.is_some() || prefix.is_some()
    }

    /// Where a path may be looked for, the best place first; nothing if it is not registered.
    ///
    /// A prefix is looked for in the text of the path alone; that nothing leads out of it is for whoever
    /// opens.
    pub(super) fn places(&self, path: &Path) -> Vec<Place> {
        if let Some(place) = self.files.get(path).filter(|_| !ends_with_slash(path)) {
            return vec![place.clone()];
        }
        let mut prefixes: Vec<_> = path
            .ancestors()
            .filter_map(|ancestor| {
                let (prefix, directory) = self.prefixes.get_key_value(ancestor)?;
                let rest = path.strip_prefix(prefix).ok()?;
                Some(Place { directory: directory.clone(), name: rest_of(path, rest) })
            })
            .collect();
        prefixes.dedup_by(|a, b| a.name == b.name);
        prefixes
    }
}

fn ends_with_slash(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"/")
}

/// The rest of a path behind a prefix, with the slash at its end, which says that it is a directory.
fn rest_of(path: &Path, rest: &Path) -> PathBuf {
    let mut rest = if rest.as_os_str().is_empty() { OsString::from(".") } else { rest.as_os_str().to_owned() };
    if ends_with_slash(path) {
        rest.push("/");
    }
    rest.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_prefixes(prefixes: &[&Path]) -> Registered {
        let mut registered = Registered::default();
        for prefix in prefixes {
            registered.add_prefix(Registration::of_prefix(prefix).unwrap()).unwrap();
        }
        registered
    }

    fn names(registered: &Registered, path: &str) -> Vec<PathBuf> {
        registered.places(Path::new(path)).into_iter().map(|place| place.name).collect()
    }

    #[test]
    fn a_prefix_ends_at_a_component() {
        let registered = with_prefixes(&[Path::new("/etc")]);
        assert_eq!(names(&registered, "/etc/a/b"), [Path::new("a/b")]);
        assert_eq!(names(&registered, "/etc/"), [Path::new("./")]);
        assert_eq!(names(&registered, "/etc"), [Path::new(".")]);
        assert_eq!(names(&registered, "/etc/a/"), [Path::new("a/")]);
        assert!(names(&registered, "/etcetera").is_empty());
        assert!(names(&registered, "etc/a").is_empty());
        assert!(names(&registered, "").is_empty());
        // Not resolved by us: the kernel says that it leads out.
        assert_eq!(names(&registered, "/etc/../shadow"), [Path::new("../shadow")]);
    }

    #[test]
    fn the_narrowest_of_several_prefixes_comes_first() {
        let registered = with_prefixes(&[Path::new("/"), Path::new("/etc")]);
        assert_eq!(names(&registered, "/etc/a"), [Path::new("a"), Path::new("etc/a")]);
        assert_eq!(names(&registered, "/usr"), [Path::new("usr")]);
    }

    #[test]
    fn what_was_unregistered_is_not_found() {
        let dir = tempfile_dir();
        let mut registered = with_prefixes(&[&dir]);
        let file = dir.join("not-there-yet");
        registered.add_file(Registration::of_file(&file).unwrap()).unwrap();
        assert_eq!(registered.places(&file)[0].name, Path::new("not-there-yet"));
        assert!(registered.remove(&file));
        assert!(!registered.remove(&file));
        assert_eq!(registered.places(&file).len(), 1, "its directory is still registered");
        assert!(registered.remove(&dir));
        assert!(registered.places(&file).is_empty());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert!(Registration::of_file(Path::new("relative")).is_err());
        assert!(Registration::of_file(Path::new("/")).is_err());
        assert!(Registration::of_file(Path::new("/etc/")).is_err());
        assert!(Registration::of_prefix(Path::new("")).is_err());
        assert!(Registration::of_prefix(Path::new("/nowhere/at/all")).is_err());
        assert!(Registration::of_prefix(Path::new("/etc/passwd")).is_err());
    }

    #[test]
    fn the_bound_counts_both_and_nothing_twice() {
        let dir = tempfile_dir();
        let mut registered = Registered::default();
        for number in 0..MAX {
            registered.add_file(Registration::of_file(&dir.join(number.to_string())).unwrap()).unwrap();
        }
        assert!(registered.add_prefix(Registration::of_prefix(&dir).unwrap()).is_err());
        registered.add_file(Registration::of_file(&dir.join("7")).unwrap()).unwrap();
    }

    fn tempfile_dir() -> PathBuf {
        std::env::temp_dir().canonicalize().unwrap()
    }
}
