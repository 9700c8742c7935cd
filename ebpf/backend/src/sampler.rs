//! Whether programs tell their decisions: one element of shared memory.
#![allow(unsafe_code, reason = "the element is shared memory")]

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use aya::maps::Map;
use podway_ebpf_abi::event::Sampling;
use podway_ebpf_abi::name;

use crate::maps::MapsError;
use crate::shared::Shared;
use crate::syscall;

/// The element that programs look at.
#[derive(Debug)]
pub(crate) struct Sampler(Shared<Sampling>);

/// The fields of the element, as they are reached.
struct Fields<'a> {
    one_in: &'a AtomicU32,
    until_ns: &'a AtomicU64,
    lost: &'a AtomicU64,
}

impl Sampler {
    pub(crate) fn open(map: Map) -> Result<Self, MapsError> {
        Shared::open(name::SAMPLING, map, 1).map(Self)
    }

    /// Has one decision of `one_in` told from now on, for as long as `lease`; says whether it had
    /// been over since the time before.
    pub(crate) fn renew(&self, one_in: NonZeroU32, lease: Duration) -> bool {
        let Some(fields) = self.fields() else { return false };
        let lease_ns = u64::try_from(lease.as_nanos()).unwrap_or(u64::MAX);
        let now = syscall::since_boot_ns();
        let before = fields.until_ns.swap(now.saturating_add(lease_ns), Ordering::AcqRel);
        // After the time: nobody who sees the number finds a time that is over.
        fields.one_in.store(one_in.get(), Ordering::Release);
        before < now
    }

    /// Has nothing told any more.
    pub(crate) fn stop(&self) {
        if let Some(fields) = self.fields() {
            fields.one_in.store(0, Ordering::Release);
        }
    }

    /// Has nothing told any more if the time is over, which spares programs a look at the clock.
    pub(crate) fn stop_if_over(&self) {
        if let Some(fields) = self.fields()
            && fields.one_in.load(Ordering::Acquire) != 0
            && fields.until_ns.load(Ordering::Acquire) < syscall::since_boot_ns()
        {
            // A listener that comes at this moment says it again when it renews its time.
            fields.one_in.store(0, Ordering::Release);
        }
    }

    /// How many events found no room since the map was made.
    pub(crate) fn lost(&self) -> u64 {
        self.fields().map_or(0, |fields| fields.lost.load(Ordering::Relaxed))
    }

    fn fields(&self) -> Option<Fields<'_>> {
        let element = self.0.element(0)?;
        // SAFETY: the memory lives as long as `self`, and each field is aligned to its size.
        unsafe {
            Some(Fields {
                one_in: AtomicU32::from_ptr(&raw mut (*element).one_in),
                until_ns: AtomicU64::from_ptr(&raw mut (*element).until_ns),
                lost: AtomicU64::from_ptr(&raw mut (*element).lost),
            })
        }
    }
}
