//! Snapshots of the cluster as bytes, for a file.
//!
//! ```text
//! magic (8) | version (2) | SHA-256 of the rest (32) | length (4) | header | LZ4 frame of objects
//! ```
//!
//! Numbers are little-endian. Header and objects are in postcard's encoding, which is compact and
//! not self-describing: [`VERSION`] changes with every change of a type that is written, and a file
//! of another version is not read. A file that was cut or changed anywhere is told by its checksum,
//! so that nothing of it is believed.
//!
//! The objects stand one after the other as the changes that bring them into being; a reader goes
//! through them without ever holding the encoded whole in memory.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use lz4_flex::frame::{FrameDecoder, FrameEncoder};
use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::import::Imports;
use podway_cluster_model::label::LabelKeys;
use podway_cluster_model::snapshot::Snapshot;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

#[cfg(test)]
mod tests;

/// First bytes of every archive.
pub const MAGIC: [u8; 8] = *b"PODWAY\x1aS";

/// Version of the format that is written, and the only one that is read.
pub const VERSION: u16 = 4;

/// Most bytes of an archive.
///
/// 256 MiB: a cluster of 10,000 Services with 100,000 endpoints takes about one hundredth of it.
pub const MAX_BYTES: usize = 256 << 20;

/// Most bytes of one encoded object; etcd takes none of more than 1.5 MB.
const MAX_OBJECT_BYTES: usize = 16 << 20;

/// Bytes before the checksum.
const PREFIX_BYTES: usize = 10;

/// Bytes of the checksum, SHA-256.
const CHECKSUM_BYTES: usize = 32;

/// What an archive says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// When the view was the newest, in seconds since the Unix epoch.
    pub taken_unix_seconds: u64,
    /// Which program wrote it.
    pub written_by: String,
    /// Which labels its objects have.
    pub label_keys: LabelKeys,
    /// Whether there are imports among them.
    pub imports: Imports,
    /// How many objects there are.
    pub objects: u64,
}

/// A view of the cluster that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Archive {
    /// What the archive says of itself.
    pub header: Header,
    /// What brings the view into being, in no order that matters.
    pub changes: Vec<Change>,
}

impl Archive {
    /// The view.
    #[must_use]
    pub fn into_snapshot(self) -> Arc<Snapshot> {
        let mut builder = Builder::new();
        builder.keep_labels(self.header.label_keys);
        builder.know_imports(self.header.imports);
        builder.apply(self.changes).0
    }
}

/// Why bytes are no archive that can be used.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It begins like something else.
    #[error("is no snapshot of podway")]
    Foreign,
    /// It is of another version.
    #[error("has format version {found}, and this podway reads version {VERSION}")]
    Version {
        /// The version found.
        found: u16,
    },
    /// It ends too early, or a part of it is too large.
    #[error("is cut off or malformed")]
    Malformed(#[source] io::Error),
    /// It was changed after it was written.
    #[error("does not have the checksum it says: {found} instead of {expected}")]
    Checksum {
        /// The checksum of what is there.
        found: String,
        /// The checksum that stands in it.
        expected: String,
    },
    /// An object in it cannot be what it should be.
    #[error("holds what is no object of the model")]
    Object(#[source] postcard::Error),
    /// It is larger than any that was ever written.
    #[error("has {bytes} bytes, and at most {MAX_BYTES} are read")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

/// Why a view cannot be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// An object cannot be encoded.
    #[error("an object cannot be encoded")]
    Object(#[source] postcard::Error),
    /// Compressing failed, or the archive would be too large.
    #[error("the snapshot cannot be compressed into {MAX_BYTES} bytes")]
    Compression(#[source] io::Error),
}

/// Whether `bytes` begin as an archive does, of whatever version.
#[must_use]
pub fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Writes `snapshot`, taken at that time by that program.
///
/// # Errors
/// [`WriteError`]: it is too large.
pub fn write(
    snapshot: &Snapshot,
    taken_unix_seconds: u64,
    written_by: &str,
) -> Result<Vec<u8>, WriteError> {
    let objects = changes(snapshot).count() as u64;
    let (written_by, label_keys) = (written_by.to_owned(), snapshot.label_keys.clone());
    let imports = snapshot.imports;
    let header = Header { taken_unix_seconds, written_by, label_keys, imports, objects };
    let header = postcard::to_allocvec(&header).map_err(WriteError::Object)?;
    let length = u32::try_from(header.len()).map_err(io::Error::other);
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; CHECKSUM_BYTES]);
    bytes.extend_from_slice(&length.map_err(WriteError::Compression)?.to_le_bytes());
    bytes.extend_from_slice(&header);

    let mut encoder = FrameEncoder::new(Bounded(bytes));
    for change in changes(snapshot) {
        let object = postcard::to_allocvec(&change).map_err(WriteError::Object)?;
        let length = u32::try_from(object.len()).map_err(io::Error::other);
        length
            .and_then(|length| encoder.write_all(&length.to_le_bytes()))
            .and_then(|()| encoder.write_all(&object))
            .map_err(WriteError::Compression)?;
    }
    let finished = encoder.finish().map_err(io::Error::other);
    let Bounded(mut bytes) = finished.map_err(WriteError::Compression)?;
    let checksum = Sha256::digest(bytes.get(PREFIX_BYTES + CHECKSUM_BYTES..).unwrap_or_default());
    if let Some(place) = bytes.get_mut(PREFIX_BYTES..PREFIX_BYTES + CHECKSUM_BYTES) {
        place.copy_from_slice(&checksum);
    }
    Ok(bytes)
}

/// Reads what [`write()`] wrote.
///
/// # Errors
/// [`ReadError`]: nothing of it can be believed.
pub fn read(bytes: &[u8]) -> Result<Archive, ReadError> {
    if !is_archive(bytes) {
        return Err(ReadError::Foreign);
    }
    if bytes.len() > MAX_BYTES {
        return Err(ReadError::TooLarge { bytes: bytes.len() });
    }
    let mut rest = bytes.get(MAGIC.len()..).unwrap_or_default();
    let version = u16::from_le_bytes(take(&mut rest)?);
    if version != VERSION {
        return Err(ReadError::Version { found: version });
    }
    let expected: [u8; CHECKSUM_BYTES] = take(&mut rest)?;
    let found = Sha256::digest(rest);
    if found[..] != expected {
        let (found, expected) = (HEXLOWER.encode(&found), HEXLOWER.encode(&expected));
        return Err(ReadError::Checksum { found, expected });
    }
    let length = u32::from_le_bytes(take(&mut rest)?) as usize;
    let (header, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
    let header: Header = postcard::from_bytes(header).map_err(ReadError::Object)?;
    let mut decoder = FrameDecoder::new(rest);
    let (mut changes, mut object) = (Vec::new(), Vec::new());
    for _ in 0..header.objects {
        let length = u32::from_le_bytes(take(&mut decoder)?) as usize;
        if length > MAX_OBJECT_BYTES {
            return Err(cut());
        }
        object.resize(length, 0);
        decoder.read_exact(&mut object).map_err(ReadError::Malformed)?;
        changes.push(postcard::from_bytes(&object).map_err(ReadError::Object)?);
    }
    Ok(Archive { header, changes })
}

/// What brings `snapshot` into being.
fn changes(snapshot: &Snapshot) -> impl Iterator<Item = Change> + '_ {
    let services = snapshot.services.values().flat_map(|entry| {
        let service = entry.service.as_deref().cloned().map(Change::Service);
        let imported = entry.imported.as_deref();
        let import = imported.and_then(|imported| imported.import.as_deref());
        let import = import.cloned().map(Change::Import);
        // Those that serve a Service stand under that already.
        let bare = imported.into_iter().flat_map(|imported| imported.slices.values());
        let slices = entry.slices.values().chain(bare.filter(|slice| slice.service.is_none()));
        let slices = slices.map(|slice| Change::Slice((**slice).clone()));
        service.into_iter().chain(import).chain(slices)
    });
    let namespaces = snapshot.namespaces.iter();
    let namespaces =
        namespaces.map(|(name, labels)| Change::Namespace(name.clone(), labels.clone()));
    let nodes = snapshot.nodes.values().map(|node| Change::Node((**node).clone()));
    let pods = snapshot.pods.values().map(|pod| Change::Pod((**pod).clone()));
    let ranges =
        snapshot.service_cidrs.values().map(|range| Change::ServiceCidr((**range).clone()));
    namespaces.chain(nodes).chain(ranges).chain(services).chain(pods)
}

/// The next bytes of a source.
fn take<const N: usize>(source: &mut impl Read) -> Result<[u8; N], ReadError> {
    let mut bytes = [0; N];
    source.read_exact(&mut bytes).map_err(ReadError::Malformed)?;
    Ok(bytes)
}

fn cut() -> ReadError {
    ReadError::Malformed(io::ErrorKind::UnexpectedEof.into())
}

/// Bytes that never get more than an archive may have.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.0.len() + more.len() > MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
