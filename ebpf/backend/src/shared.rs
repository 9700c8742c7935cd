//! An array map as memory that is shared with programs: what is stored there is seen at once.
#![allow(unsafe_code, reason = "the kernel gives memory")]

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::AsFd;

use aya::maps::Map;

use crate::maps::MapsError;
use crate::syscall;

/// The elements of an array map; whoever reaches one does so by atomic operations only.
pub(crate) struct Shared<T> {
    memory: *mut u8,
    bytes: usize,
    elements: u32,
    of: PhantomData<T>,
}

// SAFETY: the memory is reached by atomic operations only, so it may be used from any thread.
unsafe impl<T> Send for Shared<T> {}

// SAFETY: as above; every access is one atomic operation.
unsafe impl<T> Sync for Shared<T> {}

impl<T: bytemuck::Pod> Shared<T> {
    /// The memory of `map`, called `name`, which has so many elements.
    pub(crate) fn open(name: &'static str, map: Map, elements: u32) -> Result<Self, MapsError> {
        let Map::Array(map) = map else { return Err(MapsError::Absent(name)) };
        let bytes = elements as usize * size_of::<T>();
        let memory = syscall::map_memory(map.fd().as_fd(), bytes)
            .map_err(|source| MapsError::Memory { map: name, source })?;
        // The mapping keeps the map.
        Ok(Self { memory, bytes, elements, of: PhantomData })
    }

    /// Where the element `index` is, as long as this value lives.
    pub(crate) fn element(&self, index: u32) -> Option<*mut T> {
        let elements = self.memory.cast::<T>();
        // SAFETY: the element lies inside of the mapping.
        (index < self.elements).then(|| unsafe { elements.add(index as usize) })
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        syscall::unmap_memory(self.memory, self.bytes);
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").field("elements", &self.elements).finish_non_exhaustive()
    }
}
