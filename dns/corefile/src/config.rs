//! What a Corefile says, typed: ordered server blocks with their plugins.

use std::fmt;

use crate::key::Key;
use crate::mistake::Place;
use crate::plugin::Plugin;
use crate::value::Zone;

/// A valid configuration: every check has been made, across blocks too.
///
/// Its `Display` says what it means, one line for each effect, and stays the same while the meaning
/// does: two Corefiles of one text have one meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The server blocks in the order of the file; never empty.
    pub blocks: Vec<ServerBlock>,
}

/// What is done with the queries for some zones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerBlock {
    /// Where it begins.
    pub place: Place,
    /// What it answers; never empty. Among all blocks the longest zone that a name is in decides.
    pub keys: Vec<Key>,
    /// The plugins in the order in which they see a query, which is not that of the file.
    pub plugins: Vec<Placed>,
}

/// A plugin and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Where it stands.
    pub place: Place,
    /// The plugin.
    pub plugin: Plugin,
}

impl ServerBlock {
    /// The zones of the block, in the order of its keys.
    pub fn zones(&self) -> impl Iterator<Item = &Zone> {
        self.keys.iter().map(|key| &key.zone)
    }
}

impl fmt::Display for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, block) in self.blocks.iter().enumerate() {
            formatter.write_str(if index == 0 { "" } else { "\n" })?;
            write!(formatter, "{block}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ServerBlock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(Key::to_string).collect();
        writeln!(formatter, "server {}", keys.join(" "))?;
        for Placed { plugin, .. } in &self.plugins {
            for effect in plugin.effects() {
                writeln!(formatter, "  {}: {effect}", plugin.name())?;
            }
        }
        Ok(())
    }
}
