//! Loads the programs, attaches them to a cgroup and pins everything, or takes over what is pinned.
//!
//! Below the folder of pins: `maps-N` for layout N, and `links`. Links outlive the daemon, so
//! sockets go on being translated while it is away; a new daemon puts its programs into the same
//! links, and no call goes without one. Programs of others at the same hooks are never touched.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aya::maps::{Map, MapData, MapInfo};
use aya::programs::links::FdLink;
use aya::programs::{CgroupAttachMode, CgroupSockAddr, ProgramError};
use aya::{Ebpf, EbpfError, EbpfLoader};
use podway_ebpf_abi::LAYOUT;
use podway_ebpf_abi::address::Address;
use podway_ebpf_abi::event::Sampling;
use podway_ebpf_abi::name;
use podway_ebpf_abi::state::{
    AffinityKey, AffinityValue, Counters, PeerKey, PeerValue, SocketState,
};
use podway_ebpf_abi::table::{FrontendValue, Member, Pool, Slot};
use thiserror::Error;
use tracing::{info, warn};

use crate::maps::{Maps, MapsError};
use crate::syscall;

/// The programs, compiled: `cargo xtask ebpf` makes this file.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../prog/podway-ebpf.o");

/// Name, sizes of key and value, and capacity of every map.
const MAPS: [(&str, usize, usize, u32); 11] = [
    (name::FRONTENDS, size_of::<Address>(), size_of::<FrontendValue>(), name::MAX_FRONTENDS),
    (name::POOLS, 4, size_of::<Pool>(), name::MAX_POOLS),
    (name::SLOTS, 4, size_of::<Slot>(), name::MAX_SLOTS),
    (name::MEMBERS, size_of::<Member>(), 4, name::MAX_MEMBERS),
    (name::SOCKETS, 4, size_of::<SocketState>(), 0),
    (name::PEERS, size_of::<PeerKey>(), size_of::<PeerValue>(), name::MAX_PEERS),
    (name::AFFINITY, size_of::<AffinityKey>(), size_of::<AffinityValue>(), name::MAX_AFFINITY),
    (name::UNTRANSLATED, 8, 4, name::MAX_UNTRANSLATED),
    (name::COUNTERS, 4, size_of::<Counters>(), name::MAX_POOLS),
    (name::SAMPLING, 4, size_of::<Sampling>(), 1),
    (name::EVENTS, 0, 0, name::EVENTS_BYTES),
];

/// Where everything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Folder of the cgroup whose sockets are translated.
    pub cgroup: PathBuf,
    /// Folder of pins, on a bpffs; made if it is not there.
    pub pins: PathBuf,
}

/// Why the programs cannot be used.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A file or folder.
    #[error("{path}")]
    File {
        /// Which.
        path: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The object or one of its maps.
    #[error("the programs cannot be loaded")]
    Object(#[from] EbpfError),
    /// One program.
    #[error("program {program}")]
    Program {
        /// Which.
        program: &'static str,
        /// What the kernel said.
        #[source]
        source: Box<ProgramError>,
    },
    /// A link of ours.
    #[error("link {program}")]
    Link {
        /// Of which program.
        program: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The object lacks a program.
    #[error("the object has no program {0}")]
    Absent(&'static str),
    /// A thread.
    #[error("a thread cannot be started")]
    Thread(#[source] io::Error),
    /// A map.
    #[error(transparent)]
    Maps(#[from] MapsError),
}

impl Place {
    fn maps(&self) -> PathBuf {
        folder_of_maps(&self.pins)
    }

    fn links(&self) -> PathBuf {
        self.pins.join("links")
    }
}

/// Loads the programs at `place` and lets every link run them; gives the maps.
///
/// # Errors
/// [`LoadError`]; links that were there run what they ran before, or the new programs.
pub(crate) fn load(place: &Place) -> Result<Maps, LoadError> {
    for folder in [place.maps(), place.links()] {
        fs::create_dir_all(&folder).map_err(file(&folder))?;
    }
    forget_foreign_layouts(&place.maps())?;
    let mut loader = EbpfLoader::new();
    let pins: Vec<(&str, PathBuf)> =
        MAPS.iter().map(|(map, ..)| (*map, place.maps().join(map))).collect();
    for (map, pin) in &pins {
        loader.map_pin_path(map, pin.as_path());
    }
    let mut programs = loader.load(OBJECT)?;
    load_programs(&mut programs)?;
    for program in name::PROGRAMS {
        put_into_link(&mut programs, program, place)?;
    }
    drop_other_layouts(place);
    Ok(Maps::take(|map| programs.take_map(map))?)
}

/// Loads the programs for a trial: attached to `cgroup` as long as the returned value lives.
pub(crate) fn try_out(cgroup: &Path) -> Result<(Ebpf, Maps), LoadError> {
    let mut programs = EbpfLoader::new().load(OBJECT)?;
    load_programs(&mut programs)?;
    for program in name::PROGRAMS {
        attach(&mut programs, program, cgroup)?;
    }
    let maps = Maps::take(|map| programs.take_map(map))?;
    Ok((programs, maps))
}

/// What the kernel says of the programs and their maps.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Name, instructions that the verifier went through, bytes after translation.
    pub programs: Vec<(&'static str, u32, u32)>,
    /// Name, capacity, bytes of kernel memory.
    pub maps: Vec<(&'static str, u32, u64)>,
}

/// Loads the programs, attached to nothing, and asks the kernel about them.
///
/// # Errors
/// [`LoadError`].
pub fn figures() -> Result<Figures, LoadError> {
    let mut loaded = EbpfLoader::new().load(OBJECT)?;
    load_programs(&mut loaded)?;
    let mut programs = Vec::new();
    for program in name::PROGRAMS {
        let info = find(&mut loaded, program)?.info().map_err(refused(program))?;
        let verified = info.verified_instruction_count().unwrap_or(0);
        programs.push((program, verified, info.size_translated().unwrap_or(0)));
    }
    let mut maps = Vec::new();
    for (map, _, _, entries) in MAPS {
        let bytes = loaded.map(map).and_then(map_memory).unwrap_or(0);
        maps.push((map, entries, bytes));
    }
    Ok(Figures { programs, maps })
}

/// Bytes of kernel memory that the kernel says a map takes.
fn map_memory(map: &Map) -> Option<u64> {
    let data = map_data(map)?;
    let info = format!("/proc/self/fdinfo/{}", data.fd().as_fd().as_raw_fd());
    let text = fs::read_to_string(info).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("memlock:"))?;
    line.trim().parse().ok()
}

/// The map behind the kinds that are in use.
#[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum of all kinds of maps")]
fn map_data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::RingBuf(data)
        | Map::SkStorage(data) => Some(data),
        _ => None,
    }
}

/// Opens the maps that a running daemon has pinned below `pins`.
///
/// # Errors
/// [`LoadError`]: there are none, or not of this layout.
pub fn pinned(pins: &Path) -> Result<Maps, LoadError> {
    let folder = folder_of_maps(pins);
    if !folder.exists() {
        let absent = io::Error::from(io::ErrorKind::NotFound);
        return Err(file(&folder)(absent));
    }
    Ok(Maps::take(|map| pinned_map(pins, map))?)
}

/// The folder of pinned maps below `pins`.
pub(crate) fn folder_of_maps(pins: &Path) -> PathBuf {
    pins.join(format!("maps-{LAYOUT}"))
}

/// Opens the map `map` that a running daemon has pinned below `pins`.
pub(crate) fn pinned_map(pins: &Path, map: &str) -> Option<Map> {
    let data = MapData::from_pin(folder_of_maps(pins).join(map)).ok()?;
    Map::from_map_data(data).ok()
}

/// Removes links and maps below `pins`; says whether there were any.
///
/// # Errors
/// [`LoadError::File`]: what is left has to be removed by hand.
pub fn remove(pins: &Path) -> Result<bool, LoadError> {
    if !pins.exists() {
        return Ok(false);
    }
    // Links first: no program may run on maps that nobody fills.
    let mut folders = vec![pins.join("links")];
    for entry in fs::read_dir(pins).map_err(file(pins))?.flatten() {
        folders.push(entry.path());
    }
    for folder in folders.into_iter().filter(|folder| folder.is_dir()) {
        remove_folder(&folder)?;
    }
    fs::remove_dir(pins).map_err(file(pins))?;
    Ok(true)
}

fn remove_folder(folder: &Path) -> Result<(), LoadError> {
    for entry in fs::read_dir(folder).map_err(file(folder))?.flatten() {
        fs::remove_file(entry.path()).map_err(file(&entry.path()))?;
    }
    fs::remove_dir(folder).map_err(file(folder))
}

/// Unpins maps that do not have our layout though they stand where ours do.
fn forget_foreign_layouts(maps: &Path) -> Result<(), LoadError> {
    for (map, key, value, entries) in MAPS {
        let pin = maps.join(map);
        if !pin.exists() {
            continue;
        }
        let fits = MapInfo::from_pin(&pin).is_ok_and(|info| {
            info.key_size() as usize == key
                && info.value_size() as usize == value
                && info.max_entries() == entries
        });
        if !fits {
            warn!(map, "a pinned map does not have our layout and is replaced");
            fs::remove_file(&pin).map_err(file(&pin))?;
        }
    }
    Ok(())
}

/// Unpins the maps of other layouts, which no program of ours uses any more.
fn drop_other_layouts(place: &Place) {
    let Ok(entries) = fs::read_dir(&place.pins) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.path() == place.maps() || entry.path() == place.links();
        if !is_ours && entry.path().is_dir() {
            match remove_folder(&entry.path()) {
                Ok(()) => info!(folder = %entry.path().display(), "maps of another layout removed"),
                Err(error) => warn!(%error, "maps of another layout cannot be removed"),
            }
        }
    }
}

fn load_programs(programs: &mut Ebpf) -> Result<(), LoadError> {
    for program in name::PROGRAMS {
        find(programs, program)?.load().map_err(refused(program))?;
    }
    Ok(())
}

/// Lets the pinned link of `program` run it, or makes that link.
fn put_into_link(
    programs: &mut Ebpf,
    program: &'static str,
    place: &Place,
) -> Result<(), LoadError> {
    let pin = place.links().join(program);
    let failed = |source| LoadError::Link { program, source };
    if pin.exists() {
        let link = syscall::pinned_link(&pin).map_err(failed)?;
        let cgroup = fs::metadata(&place.cgroup).map_err(file(&place.cgroup))?.ino();
        let is_there = syscall::cgroup_of_link(link.as_fd()).is_ok_and(|found| found == cgroup);
        if is_there {
            let loaded = find(programs, program)?.fd().map_err(refused(program))?;
            return syscall::update_link(link.as_fd(), loaded.as_fd()).map_err(failed);
        }
        warn!(program, "the link is to another cgroup and is replaced");
        fs::remove_file(&pin).map_err(file(&pin))?;
    }
    let link = attach(programs, program, &place.cgroup)?;
    let link = find(programs, program)?.take_link(link).map_err(refused(program))?;
    let link = FdLink::try_from(link).map_err(|error| failed(io::Error::other(error)))?;
    link.pin(&pin).map_err(|error| failed(io::Error::other(error)))?;
    Ok(())
}

/// Attaches `program` to `cgroup`, beside whatever others have there.
fn attach(
    programs: &mut Ebpf,
    program: &'static str,
    cgroup: &Path,
) -> Result<aya::programs::cgroup_sock_addr::CgroupSockAddrLinkId, LoadError> {
    let folder = syscall::folder(cgroup).map_err(file(cgroup))?;
    // A link never excludes others, whatever the name of the mode says; the kernel refuses the
    // flag of the other mode for links.
    find(programs, program)?.attach(folder, CgroupAttachMode::Single).map_err(refused(program))
}

fn find<'a>(
    programs: &'a mut Ebpf,
    program: &'static str,
) -> Result<&'a mut CgroupSockAddr, LoadError> {
    let found = programs.program_mut(program).ok_or(LoadError::Absent(program))?;
    found.try_into().map_err(refused(program))
}

fn refused(program: &'static str) -> impl Fn(ProgramError) -> LoadError {
    move |source| LoadError::Program { program, source: Box::new(source) }
}

fn file(path: &Path) -> impl Fn(io::Error) -> LoadError {
    let path = path.display().to_string();
    move |source| LoadError::File { path: path.clone(), source }
}
