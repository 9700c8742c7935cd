//! Which processor the server runs on, and which the load.

use std::fs;

use anyhow::{Context, Result, bail};

/// Two different processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Processors {
    pub(super) server: u32,
    pub(super) load: u32,
}

impl Processors {
    /// Takes the last two that this process may use; the first often has the interrupts.
    pub(super) fn choose() -> Result<Self> {
        const STATUS: &str = "/proc/self/status";
        let status = fs::read_to_string(STATUS).context(STATUS)?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let allowed = list.map(|list| numbers(list.trim())).transpose()?.unwrap_or_default();
        let [.., load, server] = allowed[..] else {
            bail!("one processor for the server and one for the load are needed");
        };
        Ok(Self { server, load })
    }
}

/// The numbers of a list such as `0-3,8`.
fn numbers(list: &str) -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse()?, last.parse()?);
        numbers.extend(first..=last);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(numbers("0-3,8").unwrap(), [0, 1, 2, 3, 8]);
        assert_eq!(numbers("5").unwrap(), [5]);
        assert!(numbers("all").is_err());
    }
}
