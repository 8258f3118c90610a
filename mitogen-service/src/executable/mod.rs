//! Executable files as they are sent to other machines: what they need there, their sums, their bytes.
//!
//! It knows files, and must not know contexts, routers, or how anything is sent.

mod cksum;
mod elf;

pub(crate) use elf::{Needs, uname_names};

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use cksum::Cksum;
use flate2::Compression;
use flate2::read::GzEncoder;
use sha2::{Digest, Sha256};

use crate::sync::{Condvar, Mutex};

/// This executable, also if its file has been replaced or removed since it was started.
pub(crate) const OWN: &str = "/proc/self/exe";

/// How much of a file is read at once.
const CHUNK: usize = 64 * 1024;

/// One executable, as far as it has been looked at. Each is looked at once for all connections.
#[derive(Debug)]
pub(crate) struct Executable {
    path: PathBuf,
    size: u64,
    needs: Needs,
    sha256: String,
    cksum: OnceLock<u32>,
    packed: Mutex<Packed>,
    /// Signalled when somebody has packed it, or could not.
    is_packed: Condvar,
}

/// The packed bytes: shared by all connections that send them at the same time, and dropped after the
/// last one.
#[derive(Debug, Default)]
struct Packed {
    bytes: Weak<Vec<u8>>,
    /// Somebody is at it, and the others wait for that one's result.
    busy: bool,
}

/// What a file is known by: it is looked at again if another one is found in its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Version {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// The files that have been looked at. A program has few of them.
static KNOWN: Mutex<Option<HashMap<Version, Arc<Executable>>>> = Mutex::new(None);

impl Executable {
    /// Looks at a file, or remembers what was seen before.
    pub(crate) fn open(path: &Path) -> io::Result<Arc<Self>> {
        let file = File::open(path)?;
        let about = file.metadata()?;
        let version = Version {
            path: path.to_owned(),
            device: about.dev(),
            inode: about.ino(),
            size: about.len(),
            modified: (about.mtime(), about.mtime_nsec()),
        };
        if let Some(known) = KNOWN.lock().get_or_insert_default().get(&version) {
            return Ok(known.clone());
        }
        // Without the lock: several may look at the same file, and find the same.
        let executable = Arc::new(Self {
            needs: elf::inspect(file)?,
            sha256: sha256(path)?,
            path: path.to_owned(),
            size: about.len(),
            cksum: OnceLock::new(),
            packed: Mutex::default(),
            is_packed: Condvar::new(),
        });
        let mut known = KNOWN.lock();
        let known = known.get_or_insert_default();
        // A file that is built again and again would otherwise leave an entry each time.
        known.retain(|other, _| other.path != version.path);
        known.insert(version, executable.clone());
        Ok(executable)
    }

    /// What it needs of the machine that it runs on.
    pub(crate) fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Its size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Its SHA-256, as the usual tools print it.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Its CRC, as `cksum` prints it.
    pub(crate) fn cksum(&self) -> io::Result<u32> {
        if let Some(sum) = self.cksum.get() {
            return Ok(*sum);
        }
        let mut sum = Cksum::default();
        each_chunk(&self.path, |chunk| sum.update(chunk))?;
        Ok(*self.cksum.get_or_init(|| sum.finish()))
    }

    /// The file as it is.
    pub(crate) fn plain(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    /// The file as `gzip` would make it.
    pub(crate) fn packed(&self) -> io::Result<Arc<Vec<u8>>> {
        {
            let mut packed = self.packed.lock();
            loop {
                if let Some(bytes) = packed.bytes.upgrade() {
                    return Ok(bytes);
                }
                if !packed.busy {
                    packed.busy = true;
                    break;
                }
                self.is_packed.wait(&mut packed);
            }
        }
        let done = self.pack().map(Arc::new);
        {
            let mut packed = self.packed.lock();
            packed.busy = false;
            if let Ok(bytes) = &done {
                packed.bytes = Arc::downgrade(bytes);
            }
        }
        self.is_packed.notify_all();
        done
    }

    fn pack(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        GzEncoder::new(self.plain()?, Compression::fast()).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    each_chunk(path, |chunk| hasher.update(chunk))?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn each_chunk(path: &Path, mut f: impl FnMut(&[u8])) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(got) => f(&buffer[..got]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn first_word(tool: &str, path: &str) -> String {
        let output = Command::new(tool).arg(path).output().unwrap();
        String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
    }

    #[test]
    fn the_sums_are_those_of_the_usual_tools() {
        let path = "/bin/sh";
        let executable = Executable::open(Path::new(path)).unwrap();
        assert_eq!(executable.sha256(), first_word("sha256sum", path));
        assert_eq!(executable.cksum().unwrap().to_string(), first_word("cksum", path));
        assert_eq!(executable.size(), std::fs::metadata(path).unwrap().len());
    }

    #[test]
    fn a_file_is_looked_at_once_and_packed_once_for_all_who_send_it() {
        let [one, other] = [(); 2].map(|()| Executable::open(Path::new(OWN)).unwrap());
        assert!(Arc::ptr_eq(&one, &other));
        let path = std::env::temp_dir().join(format!("mitogen-service-packed-{}", std::process::id()));
        std::fs::copy("/bin/sh", &path).unwrap();
        let shell = Executable::open(&path).unwrap();
        let packed = shell.packed().unwrap();
        assert!(Arc::ptr_eq(&packed, &shell.packed().unwrap()));
        assert!((packed.len() as u64) < shell.size());
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_is_no_executable_is_refused() {
        let error = Executable::open(Path::new("/etc/passwd")).unwrap_err();
        assert!(error.to_string().contains("is not an ELF executable"), "{error}");
    }
}
