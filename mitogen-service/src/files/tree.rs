//! A directory that is to be made, with all that lies beneath it: absent until it is whole.
//!
//! Everything is put together under another name in the same directory, which becomes the right one in one step. The
//! names come from another context, which is not to be believed: none leads out, and no link is followed.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, mkdirat, openat, renameat, renameat_with, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::beneath::walk;
use super::error::FileError;
use super::metadata::FileMetadata;
use super::removal;
use super::target::{Keep, Target, dress, other_name, unwanted};
use crate::router::random_number;

/// How many directories may lie in one, each of which is kept in mind.
const MAX_DIRECTORIES: usize = 1_000_000;

/// How many bytes their names may have together, and those of their owners and groups.
const MAX_NAMES: usize = 64 * 1024 * 1024;

/// How deep something may lie in one. To remove a directory takes a descriptor for each level.
const MAX_DEPTH: usize = 256;

/// A directory under another name, until it is whole.
pub(super) struct Tree {
    path: PathBuf,
    parent: OwnedFd,
    name: OsString,
    other: OsString,
    top: OwnedFd,
    /// What the directories shall be when everything is in them.
    directories: Vec<(PathBuf, Box<FileMetadata>)>,
    /// The bytes of all names in them.
    names: usize,
    finished: bool,
}

impl Tree {
    /// Begins a directory that is not there yet.
    pub(super) fn begin(path: &Path) -> Result<Self, FileError> {
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
            let what = format!("'{}' names no directory: say what it shall be called", path.display());
            return Err(FileError::invalid(what));
        };
        let error = |action| move |error| FileError::errno(action, path, error);
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = openat(rustix::fs::CWD, parent, flags, Mode::empty()).map_err(error("open the directory of"))?;
        if statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Err(error("create")(Errno::EXIST));
        }
        let other = other_name(name, &format!("{:016x}.tmp", random_number()));
        mkdirat(&parent, &other, Mode::RWXU).map_err(error("create"))?;
        let top = openat(&parent, &other, flags | OFlags::NOFOLLOW, Mode::empty()).map_err(|errno| {
            let _ = unlinkat(&parent, &other, AtFlags::REMOVEDIR);
            error("create")(errno)
        })?;
        let (path, name) = (path.to_owned(), name.to_owned());
        Ok(Self { path, parent, name, other, top, directories: Vec::new(), names: 0, finished: false })
    }

    /// Makes a directory in it; under an empty name it is the first one itself. It gets what it shall have at the end:
    /// in one that may not be written to, nothing could be put.
    pub(super) fn directory(&mut self, name: &Path, metadata: Box<FileMetadata>) -> Result<(), FileError> {
        if self.directories.len() >= MAX_DIRECTORIES {
            return Err(FileError::malformed(&self.path, format!("it has more than {MAX_DIRECTORIES} directories")));
        }
        let FileMetadata { owner, group, .. } = &*metadata;
        let length = |name: &Option<String>| name.as_ref().map_or(0, String::len);
        self.names += name.as_os_str().len() + length(owner) + length(group);
        if self.names > MAX_NAMES {
            let what = format!("the names of its directories and their owners have more than {MAX_NAMES} bytes");
            return Err(FileError::malformed(&self.path, what));
        }
        // Nobody else can know that name, so this is it. Without an end it would be copied into itself.
        if name.file_name() == Some(&self.other) {
            let path = self.path.display();
            let what = format!("'{path}' lies in the directory that is transferred: give a destination outside of it");
            return Err(FileError::invalid(what));
        }
        // The first one is there already.
        if !(name.as_os_str().is_empty() && self.directories.is_empty()) {
            let (directory, last) = self.place(name)?;
            mkdirat(directory, last, Mode::RWXU).map_err(|error| self.failed("create", name, error))?;
        }
        self.directories.push((name.to_owned(), metadata));
        Ok(())
    }

    /// Makes a symbolic link in it, whatever that says.
    pub(super) fn link(&self, name: &Path, target: &[u8]) -> Result<(), FileError> {
        let (directory, last) = self.place(name)?;
        symlinkat(OsStr::from_bytes(target), directory, last).map_err(|error| self.failed("create", name, error))
    }

    /// Begins a file in it.
    pub(super) fn file(&self, name: &Path) -> Result<Target, FileError> {
        let (directory, last) = self.place(name)?;
        Target::open_at(directory, last, &self.path.join(name))
    }

    /// The directory that something lies in, and what it is called there.
    fn place<'n>(&self, name: &'n Path) -> Result<(OwnedFd, &'n OsStr), FileError> {
        let is_plain = name.components().all(|component| matches!(component, Component::Normal(_)));
        let (Some(last), Some(parent), true) = (name.file_name(), name.parent(), is_plain) else {
            return Err(FileError::malformed(&self.path, format!("there is no name {name:?} in a directory")));
        };
        if name.components().count() > MAX_DEPTH {
            return Err(FileError::malformed(&self.path, format!("it has more than {MAX_DEPTH} levels")));
        }
        let parent = if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.join("") };
        let directory = walk(self.top.as_fd(), &parent).map_err(|error| self.failed("open", &parent, error))?;
        Ok((directory, last))
    }

    fn failed(&self, action: &str, name: &Path, error: Errno) -> FileError {
        FileError::errno(action, &self.path.join(name), error)
    }

    /// It is whole: makes the directories what they shall be, the innermost first, and takes its name.
    pub(super) fn finish(self, keep: Keep) -> Result<(), FileError> {
        self.finish_if(keep, &|| true)
    }

    /// The same if it is still wanted when all else is done.
    pub(super) fn finish_if(mut self, keep: Keep, is_wanted: &dyn Fn() -> bool) -> Result<(), FileError> {
        for (name, metadata) in self.directories.iter().rev() {
            let inside = if name.as_os_str().is_empty() { PathBuf::from(".") } else { name.join("") };
            let failed = |action, error| self.failed(action, name, error);
            let directory = walk(self.top.as_fd(), &inside).map_err(|error| failed("open", error))?;
            dress(&directory, metadata, keep).map_err(|(action, error)| failed(action, error))?;
            if keep.fsync {
                rustix::fs::fsync(&directory).map_err(|error| failed("sync", error))?;
            }
        }
        if !is_wanted() {
            return Err(unwanted());
        }
        // If something has come to be there meanwhile, it stays.
        let (parent, other, name) = (&self.parent, &self.other, &self.name);
        let renamed =
            take_name(parent, other, name, || renameat_with(parent, other, parent, name, RenameFlags::NOREPLACE));
        renamed.map_err(|error| FileError::errno("create", &self.path, error))?;
        self.finished = true;
        if keep.fsync {
            rustix::fs::fsync(&self.parent).map_err(|error| FileError::errno("create", &self.path, error))?;
        }
        Ok(())
    }
}

/// Gives a directory a name that nothing has.
fn take_name(
    parent: &OwnedFd,
    other: &OsStr,
    name: &OsStr,
    without_replacing: impl FnOnce() -> Result<(), Errno>,
) -> Result<(), Errno> {
    match without_replacing() {
        // NFS cannot do it, nor can some file systems that are programs and old kernels; and filters of system calls
        // say that of those that they do not know.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {}
        result => return result,
    }
    if statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        return Err(Errno::EXIST);
    }
    // What comes to be there in this moment stays too, unless it is an empty directory.
    renameat(parent, other, parent, name).map_err(|error| match error {
        Errno::NOTEMPTY | Errno::NOTDIR => Errno::EXIST,
        error => error,
    })
}

impl Tree {
    /// Lets everything be removed, the outermost first: some directories may be what they shall be already, and not be
    /// written to.
    fn let_go(&self) {
        for (name, _) in &self.directories {
            let opened = match name.as_os_str().is_empty() {
                true => rustix::fs::fchmod(&self.top, Mode::RWXU),
                false => {
                    self.place(name).map_or(Err(Errno::NOENT), |(directory, last)| make_writable(&directory, last))
                }
            };
            // What cannot be removed for it is left.
            let _ = opened;
        }
    }
}

/// Lets a directory be read and written to by its owner, whatever its mode is. It may belong to somebody else by now,
/// who has put a link there: so it is opened first, by a handle that needs no rights, and changed by that.
fn make_writable(parent: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(parent, name, flags, Mode::empty())?;
    let handle = format!("/proc/self/fd/{}", directory.as_raw_fd());
    rustix::fs::chmod(handle, Mode::RWXU)
}

impl Drop for Tree {
    fn drop(&mut self) {
        if !self.finished {
            self.let_go();
            // What cannot be removed is left, under a name that nobody takes for the directory.
            removal::empty(self.top.as_fd(), MAX_DEPTH);
            removal::remove(self.parent.as_fd(), &self.other, self.top.as_fd());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs something with the rights of a user who has none to speak of.
    fn as_nobody(body: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                if rustix::process::geteuid().is_root() {
                    // Of this thread alone.
                    let nobody = rustix::process::Uid::from_raw(65534);
                    rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
                }
                body();
            });
            thread.join().unwrap();
        });
    }

    fn metadata(mode: u32) -> Box<FileMetadata> {
        let stat = rustix::fs::stat("/etc/passwd").unwrap();
        Box::new(FileMetadata { mode, ..FileMetadata::of(&stat, 0) })
    }

    #[test]
    fn a_link_that_somebody_puts_in_the_place_of_a_directory_is_not_followed() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "").unwrap();
        std::fs::set_permissions(&victim, PermissionsExt::from_mode(0o644)).unwrap();
        let mut tree = Tree::begin(&dir.path().join("to")).unwrap();
        for name in ["", "a"] {
            tree.directory(Path::new(name), metadata(0o755)).unwrap();
        }
        let there = dir.path().join(&tree.other).join("a");
        std::fs::remove_dir(&there).unwrap();
        std::os::unix::fs::symlink(&victim, &there).unwrap();
        drop(tree);
        assert_eq!(std::fs::metadata(&victim).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_tree_is_only_so_deep_and_takes_no_descriptor_for_each_level() {
        let dir = tempfile::tempdir().unwrap();
        let mut tree = Tree::begin(&dir.path().join("to")).unwrap();
        tree.directory(Path::new(""), metadata(0o755)).unwrap();
        let mut name = PathBuf::new();
        for _ in 0..MAX_DEPTH {
            name.push("d");
            tree.directory(&name, metadata(0o755)).unwrap();
        }
        let error = tree.directory(&name.join("d"), metadata(0o755)).unwrap_err();
        assert!(error.to_string().contains("more than 256 levels"), "{error}");
        tree.finish(Keep::default()).unwrap();
        assert!(dir.path().join("to").join(&name).is_dir());
    }

    #[test]
    fn what_is_kept_in_mind_of_directories_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut tree = Tree::begin(&dir.path().join("to")).unwrap();
        tree.directory(Path::new(""), metadata(0o755)).unwrap();
        let error = tree.directory(Path::new(""), metadata(0o755)).unwrap_err();
        assert!(error.to_string().contains("no name"), "{error}");
        let owner = Some("x".repeat(MAX_NAMES / 2));
        let large = || Box::new(FileMetadata { owner: owner.clone(), ..*metadata(0o755) });
        tree.directory(Path::new("a"), large()).unwrap();
        let error = tree.directory(Path::new("b"), large()).unwrap_err();
        assert!(error.to_string().contains("more than 67108864 bytes"), "{error}");
    }

    #[test]
    fn what_others_have_put_in_its_place_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let begun = || {
            let mut tree = Tree::begin(&dir.path().join("to")).unwrap();
            for name in ["", "a"] {
                tree.directory(Path::new(name), metadata(0o755)).unwrap();
            }
            tree.file(Path::new("a/file")).unwrap().finish(&metadata(0o644), Keep::default()).unwrap();
            let there = dir.path().join(&tree.other);
            std::fs::rename(&there, dir.path().join("moved")).unwrap();
            std::fs::create_dir(&there).unwrap();
            (tree, there)
        };
        let (tree, theirs) = begun();
        std::fs::write(theirs.join("file"), "theirs").unwrap();
        drop(tree);
        assert_eq!(std::fs::read(theirs.join("file")).unwrap(), b"theirs");
        let left = std::fs::read_dir(dir.path().join("moved")).unwrap().count();
        assert_eq!(left, 0, "what is its own is removed wherever it is");
        let (tree, theirs) = begun();
        drop(tree);
        assert!(theirs.is_dir(), "also if it is empty");
    }

    #[test]
    fn a_directory_that_cannot_be_opened_is_not_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(dir.path(), open).unwrap();
        as_nobody(|| {
            // Of this thread alone: nobody may read what it makes.
            #[expect(deprecated, reason = "the other one is not safe for what else it can do")]
            rustix::thread::unshare(rustix::thread::UnshareFlags::FS).unwrap();
            rustix::process::umask(Mode::RWXU);
            let error = Tree::begin(&dir.path().join("to")).err().expect("it cannot be opened");
            assert_eq!(error.io_kind(), Some(std::io::ErrorKind::PermissionDenied));
        });
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_is_not_copied_into_itself() {
        let dir = tempfile::tempdir().unwrap();
        let mut tree = Tree::begin(&dir.path().join("to")).unwrap();
        tree.directory(Path::new(""), metadata(0o755)).unwrap();
        let own = Path::new("a").join(&tree.other);
        let error = tree.directory(&own, metadata(0o755)).unwrap_err();
        assert!(error.to_string().contains("give a destination outside of it"), "{error}");
    }

    #[test]
    fn where_the_file_system_cannot_tell_names_that_are_taken_they_are_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let parent: OwnedFd = std::fs::File::open(dir.path()).unwrap().into();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir(path("other")).unwrap();
        std::fs::write(path("other/file"), "").unwrap();
        let take = |name: &str| take_name(&parent, OsStr::new("other"), OsStr::new(name), || Err(Errno::INVAL));
        std::fs::create_dir(path("empty")).unwrap();
        std::fs::write(path("file"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", path("link")).unwrap();
        for name in ["empty", "file", "link"] {
            assert_eq!(take(name), Err(Errno::EXIST), "{name}");
        }
        take("name").unwrap();
        assert!(path("name/file").exists() && !path("other").exists());
        // What the file system says of other things is what is told.
        let refused = take_name(&parent, OsStr::new("name"), OsStr::new("new"), || Err(Errno::NOSPC));
        assert_eq!(refused, Err(Errno::NOSPC));
    }

    #[test]
    fn what_comes_to_nothing_at_the_last_moment_is_removed_whatever_its_modes() {
        let dir = tempfile::tempdir().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(dir.path(), open).unwrap();
        as_nobody(|| {
            let to = dir.path().join("to");
            let mut tree = Tree::begin(&to).unwrap();
            for (name, mode) in [("", 0o555), ("a", 0), ("a/b", 0o555), ("a/b/c", 0o111)] {
                tree.directory(Path::new(name), metadata(mode)).unwrap();
            }
            let file = tree.file(Path::new("a/b/c/file")).unwrap();
            file.finish(&metadata(0o400), Keep::default()).unwrap();
            tree.link(Path::new("a/b/c/link"), b"/etc/passwd").unwrap();
            // Somebody else has the name by now.
            std::fs::create_dir(&to).unwrap();
            let keep = Keep { mode: true, ..Keep::default() };
            let error = tree.finish(keep).unwrap_err();
            assert_eq!(error.io_kind(), Some(std::io::ErrorKind::AlreadyExists));
            let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(left, ["to"]);
        });
    }
}
