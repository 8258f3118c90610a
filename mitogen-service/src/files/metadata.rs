//! What is told of a file before its bytes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::unistd::{Gid, Group, Uid, User};
use rustix::fs::Stat;
use serde::{Deserialize, Serialize};

/// What the file was when it was opened.
///
/// ```no_run
/// use mitogen_service::FileService;
///
/// # fn main() -> mitogen_service::Result<()> {
/// # let router = mitogen_service::Router::builder().build()?;
/// let child = router.local().connect()?;
/// let metadata = FileService::get(&child, "/etc/passwd", &mut std::io::sink()).run()?.metadata;
/// println!("{} bytes of {:?}, mode {:o}", metadata.size, metadata.owner, metadata.mode & 0o7777);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FileMetadata {
    /// The number of the transfer.
    pub transfer: u64,
    /// How many bytes the file has, of which as many are sent, whatever becomes of it meanwhile.
    pub size: u64,
    /// The kind of the file and its permissions, as `stat` has them.
    pub mode: u32,
    /// The number of its owner.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
    /// The name of its owner, if there is one.
    pub owner: Option<String>,
    /// The name of its group, if there is one.
    pub group: Option<String>,
    /// When it was written to last.
    #[serde(with = "time")]
    pub mtime: SystemTime,
    /// When it was read last, before this transfer.
    #[serde(with = "time")]
    pub atime: SystemTime,
}

impl FileMetadata {
    pub(super) fn of(stat: &Stat, transfer: u64) -> Self {
        let user = User::from_uid(Uid::from_raw(stat.st_uid)).ok().flatten();
        let group = Group::from_gid(Gid::from_raw(stat.st_gid)).ok().flatten();
        Self {
            transfer,
            size: size(stat),
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            owner: user.map(|user| user.name),
            group: group.map(|group| group.name),
            mtime: moment(stat.st_mtime, stat.st_mtime_nsec as u32),
            atime: moment(stat.st_atime, stat.st_atime_nsec as u32),
        }
    }

    /// Who owns such a file here: whoever has the same names, or else the same numbers.
    pub(super) fn owner_here(&self) -> (u32, u32) {
        let user = self.owner.as_deref().and_then(|name| User::from_name(name).ok().flatten());
        let group = self.group.as_deref().and_then(|name| Group::from_name(name).ok().flatten());
        (user.map_or(self.uid, |user| user.uid.as_raw()), group.map_or(self.gid, |group| group.gid.as_raw()))
    }
}

/// The size of a file; the kernel knows no negative one.
pub(super) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn moment(seconds: i64, nanos: u32) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let second = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    second.and_then(|second| second.checked_add(Duration::from_nanos(nanos.into()))).unwrap_or(UNIX_EPOCH)
}

/// The parts of a moment, as `stat` has them.
pub(super) fn parts(moment: SystemTime) -> (i64, u32) {
    match moment.duration_since(UNIX_EPOCH) {
        Ok(after) => (i64::try_from(after.as_secs()).unwrap_or(i64::MAX), after.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let seconds = -i64::try_from(before.as_secs()).unwrap_or(i64::MAX - 1);
            match before.subsec_nanos() {
                0 => (seconds, 0),
                nanos => (seconds - 1, 1_000_000_000 - nanos),
            }
        }
    }
}

/// Moments as `[seconds, nanoseconds]` since 1970.
mod time {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(moment: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        super::parts(*moment).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let (seconds, nanos) = <(i64, u32)>::deserialize(deserializer)?;
        Ok(super::moment(seconds, nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_before_1970_and_after_are_what_stat_says() {
        for (seconds, nanos) in [(0, 0), (1_700_000_000, 123_456_789), (-1, 0), (-1, 1), (-5, 999_999_999)] {
            assert_eq!(parts(moment(seconds, nanos)), (seconds, nanos));
        }
        // Nobody's file is that old or new, and whoever says so is not worth a panic.
        for (seconds, nanos) in [(i64::MIN, 0), (i64::MIN, u32::MAX), (i64::MAX, u32::MAX)] {
            parts(moment(seconds, nanos));
        }
    }

    #[test]
    fn the_owner_is_that_of_the_file() {
        let stat = rustix::fs::stat("/etc/passwd").unwrap();
        let metadata = FileMetadata::of(&stat, 1);
        assert_eq!((metadata.owner.as_deref(), metadata.uid), (Some("root"), 0));
        let mut stat = stat;
        stat.st_uid = 4_000_000_000;
        let nobody = FileMetadata::of(&stat, 1);
        assert_eq!((nobody.owner, nobody.uid), (None, 4_000_000_000));
    }

    #[test]
    fn metadata_travels_by_name() {
        let metadata = FileMetadata::of(&rustix::fs::stat("/etc/passwd").unwrap(), 7);
        let mut raw = Vec::new();
        crate::wire::value::encode(&metadata, &mut raw).unwrap();
        assert_eq!(crate::wire::value::decode::<FileMetadata>(&raw).unwrap(), metadata);
    }
}
