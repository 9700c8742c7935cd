//! Finds out whether eBPF can be used: tries the whole chain instead of reading versions.
//!
//! The last step translates real sockets of a helper process in a cgroup made for that, on loopback
//! addresses only. A build of the programs that is broken is found that way, too.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::statfs;
use thiserror::Error;

use crate::load::Place;
use crate::syscall;
use crate::trial;

/// What eBPF needs, in the order in which it is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// The cgroup that all sockets of the node are below.
    Cgroup,
    /// A file system for pins.
    Pins,
    /// Programs that the kernel takes, at hooks that it has, and that do what they should.
    Chain,
}

impl Feature {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Cgroup, Self::Pins, Self::Chain];
}

impl fmt::Display for Feature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Cgroup => "cgroup",
            Self::Pins => "bpffs",
            Self::Chain => "programs",
        })
    }
}

/// A feature is absent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{feature}: {reason}")]
pub struct Absent {
    /// Which.
    pub feature: Feature,
    /// Why it is taken for absent.
    pub reason: String,
}

/// What the operator said about places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wishes {
    /// The cgroup to use; `None` for the true root.
    pub cgroup: Option<PathBuf>,
    /// The bpffs to pin on.
    pub bpffs: PathBuf,
    /// Program and first argument that become the helper process.
    pub helper: (PathBuf, String),
}

/// A machine as detection sees it.
pub trait Machine {
    /// Looks for the cgroup.
    ///
    /// # Errors
    /// Why there is none, for a person.
    fn cgroup(&self) -> Result<PathBuf, String>;

    /// Looks for the folder of pins.
    ///
    /// # Errors
    /// Why there is none, for a person.
    fn pins(&self) -> Result<PathBuf, String>;

    /// Tries everything out below `cgroup`.
    ///
    /// # Errors
    /// What went wrong, for a person.
    fn chain(&self, cgroup: &Path) -> Result<(), String>;
}

/// Looks for everything in order; the first thing that is absent ends it.
///
/// # Errors
/// [`Absent`]: eBPF cannot be used here.
pub fn detect(machine: &impl Machine) -> Result<Place, Absent> {
    let absent = |feature| move |reason| Absent { feature, reason };
    let cgroup = machine.cgroup().map_err(absent(Feature::Cgroup))?;
    let pins = machine.pins().map_err(absent(Feature::Pins))?;
    machine.chain(&cgroup).map_err(absent(Feature::Chain))?;
    Ok(Place { cgroup, pins })
}

/// This machine.
#[derive(Debug, Clone)]
pub struct ThisMachine {
    /// What the operator said.
    pub wishes: Wishes,
}

/// Magic number of cgroup v2.
const CGROUP2: u64 = 0x6367_7270;

/// Magic number of bpffs.
const BPFFS: u64 = 0xcafe_4a11;

/// Inode of the true root of cgroup v2; that of a private cgroup namespace has another.
const ROOT_INODE: u64 = 1;

/// Cookie of the first network namespace: the kernel counts from it.
const FIRST_NETNS: u64 = 1;

/// Folder of ours on the bpffs.
const FOLDER: &str = "podway";

impl Machine for ThisMachine {
    fn cgroup(&self) -> Result<PathBuf, String> {
        if let Some(chosen) = &self.wishes.cgroup {
            return match file_system(chosen) {
                Ok(CGROUP2) => Ok(chosen.clone()),
                Ok(_) => Err(format!("{} is no folder of cgroup v2", chosen.display())),
                Err(error) => Err(format!("{}: {error}", chosen.display())),
            };
        }
        let root = cgroup_mount().ok_or("cgroup v2 is not mounted")?;
        match fs::metadata(&root).map(|root| root.ino()) {
            Ok(ROOT_INODE) => {}
            Ok(_) => {
                return Err(format!(
                    "{} is not the root of the machine's cgroups; give it with --cgroup-root",
                    root.display()
                ));
            }
            Err(error) => return Err(format!("{}: {error}", root.display())),
        }
        // The root holds the sockets of the whole machine, of which this would be one node of many.
        match syscall::netns_cookie() {
            Ok(FIRST_NETNS) => Ok(root),
            Ok(_) => Err("this is not the machine's own network namespace; \
                          give the node's cgroup with --cgroup-root"
                .to_owned()),
            Err(error) => Err(format!("the network namespace has no cookie: {error}")),
        }
    }

    fn pins(&self) -> Result<PathBuf, String> {
        let Wishes { bpffs, .. } = &self.wishes;
        match file_system(bpffs) {
            Ok(BPFFS) => Ok(bpffs.join(FOLDER)),
            Ok(_) => Err(format!(
                "{0} is no bpffs: mount -t bpf bpf {0}, or give one with --bpffs-root",
                bpffs.display()
            )),
            Err(error) => Err(format!("{}: {error}", bpffs.display())),
        }
    }

    fn chain(&self, cgroup: &Path) -> Result<(), String> {
        trial::run(cgroup, &self.wishes.helper)
    }
}

impl ThisMachine {
    /// Whether pins at the usual place are this node's to remove: those of another may be there
    /// when this is one of many network namespaces.
    #[must_use]
    pub fn owns_pins(&self) -> bool {
        self.cgroup().is_ok()
    }
}

/// The folder of our pins on `bpffs`, whether that is one or not.
#[must_use]
pub fn pins_on(bpffs: &Path) -> PathBuf {
    bpffs.join(FOLDER)
}

fn file_system(path: &Path) -> io::Result<u64> {
    let statistics = statfs(path)?;
    u64::try_from(statistics.f_type).map_err(io::Error::other)
}

/// Where cgroup v2 is mounted; it may stand beside version 1.
fn cgroup_mount() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let folder = words.next()?;
        (words.next()? == "cgroup2").then(|| PathBuf::from(folder))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that has everything but one feature, as it is told.
    struct Told(Option<Feature>);

    impl Told {
        fn has(&self, feature: Feature) -> Result<(), String> {
            if self.0 == Some(feature) { Err("told so".to_owned()) } else { Ok(()) }
        }
    }

    impl Machine for Told {
        fn cgroup(&self) -> Result<PathBuf, String> {
            self.has(Feature::Cgroup).map(|()| "/cgroup".into())
        }

        fn pins(&self) -> Result<PathBuf, String> {
            self.has(Feature::Pins).map(|()| "/pins".into())
        }

        fn chain(&self, _cgroup: &Path) -> Result<(), String> {
            self.has(Feature::Chain)
        }
    }

    #[test]
    fn each_absent_feature_is_named_with_its_reason() {
        for feature in Feature::ALL {
            let absent = detect(&Told(Some(feature))).expect_err("told absent");
            assert_eq!(absent, Absent { feature, reason: "told so".to_owned() });
        }
        let place = Place { cgroup: "/cgroup".into(), pins: "/pins".into() };
        assert_eq!(detect(&Told(None)), Ok(place));
    }

    #[test]
    fn a_folder_that_is_no_cgroup_is_refused_by_name() {
        let wishes = Wishes {
            cgroup: Some("/proc".into()),
            bpffs: "/proc".into(),
            helper: ("/nowhere".into(), String::new()),
        };
        let machine = ThisMachine { wishes };
        assert_eq!(machine.cgroup(), Err("/proc is no folder of cgroup v2".to_owned()));
        assert!(machine.pins().is_err_and(|reason| reason.starts_with("/proc is no bpffs")));
    }
}
