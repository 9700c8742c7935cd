//! From text to configuration: statements become server blocks, and blocks are checked together.

use crate::check;
use crate::config::{Config, Placed, ServerBlock};
use crate::key::Key;
use crate::line::Scope;
use crate::mistake::{Faults, Lenience, Mistake, Mistakes, Place};
use crate::nearest;
use crate::plugin::{self, Known, Plugin, Repeat};
use crate::sources::Sources;
use crate::syntax::{self, Statement, Word};
use crate::value::Zone;

/// A Corefile that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What it says.
    pub config: Config,
    /// What has no effect, in order of place.
    pub warnings: Vec<Mistake>,
}

/// Reads the Corefile at `path`, whose `contents` may be any bytes.
///
/// `path` is what mistakes are reported under; imports are looked for beside it.
///
/// # Errors
/// [`Mistakes`] lists everything that is wrong with it and with what it imports.
pub fn read(
    path: &str,
    contents: &[u8],
    sources: &dyn Sources,
    lenience: Lenience,
) -> Result<Reading, Mistakes> {
    let faults = Faults::new(lenience);
    let statements = syntax::statements(path, contents, sources, &faults);
    for statement in &statements {
        refuse_placeholders(statement, &faults);
    }
    let blocks: Vec<ServerBlock> =
        statements.iter().filter_map(|statement| server_block(statement, &faults)).collect();
    check::blocks(&blocks, &faults);
    if blocks.is_empty() && !faults.any() {
        let place = Place { file: path.into(), line: 1, column: 1 };
        faults.mistake(&place, "the Corefile has no server block", "ZONE[:PORT] { ... }");
    }
    let warnings = faults.into_warnings()?;
    Ok(Reading { config: Config { blocks }, warnings })
}

/// Reads one server block; `None` when nothing is left of it.
fn server_block(statement: &Statement, faults: &Faults) -> Option<ServerBlock> {
    let place = &statement.name.place;
    let Some(body) = &statement.body else {
        let problem = format!("server block {:?} has no braces", statement.name.text);
        faults.mistake(place, problem, "ZONE[:PORT] { ... }");
        return None;
    };
    let words = std::iter::once(&statement.name).chain(&statement.arguments);
    let keys: Vec<Key> = words.flat_map(|word| Key::read(word, faults)).collect();
    let mut zones: Vec<Zone> = Vec::new();
    for key in &keys {
        if !zones.contains(&key.zone) {
            zones.push(key.zone.clone());
        }
    }
    // The plugins of a block with wrong keys are read all the same, for their mistakes.
    if zones.is_empty() {
        zones.push(Zone::root());
    }
    let plugins = plugins(body, Scope { zones: &zones, faults });
    if body.is_empty() {
        faults.warning(place, "server block without plugins answers SERVFAIL only", "");
    }
    (!keys.is_empty()).then(|| ServerBlock { place: place.clone(), keys, plugins })
}

/// Reads the plugins of a block and puts them into the order of execution.
fn plugins(body: &[Statement], scope: Scope<'_>) -> Vec<Placed> {
    let mut plugins: Vec<Placed> = Vec::new();
    for statement in body {
        let Some(plugin) = read_plugin(statement, scope) else { continue };
        let place = statement.name.place.clone();
        let name = plugin.name();
        let first = plugins.iter().find(|placed| placed.plugin.name() == name);
        if let (Some(first), Repeat::Once) = (first, plugin.repeat()) {
            let problem = format!("{name} stands in this block already, at {}", first.place);
            scope.faults.mistake(&place, problem, &format!("one {name} for each block"));
        } else {
            plugins.push(Placed { place, plugin });
        }
    }
    // Stable: plugins of one name keep the order of the file.
    plugins.sort_by_key(|placed| plugin::position(placed.plugin.name()));
    plugins
}

/// Reads one plugin, or says why its name is none.
fn read_plugin(statement: &Statement, scope: Scope<'_>) -> Option<Plugin> {
    let Word { text: name, place } = &statement.name;
    let faults = scope.faults;
    match plugin::known(name) {
        Known::Supported => return Plugin::read(statement, scope),
        Known::CoreDnsOnly => faults.unsupported(place, format!("plugin {name}"), ""),
        Known::Removed(instead) => {
            faults.mistake(place, format!("plugin {name} is removed from CoreDNS"), instead);
        }
        Known::Unknown => {
            let hint = nearest::of(name, Plugin::NAMES.iter().copied());
            let hint = hint.map(|name| format!(", did you mean {name}?")).unwrap_or_default();
            faults.mistake(place, format!("no plugin is called {name:?}{hint}"), "");
        }
    }
    None
}

/// Reports words that a template of a manifest should have replaced.
fn refuse_placeholders(statement: &Statement, faults: &Faults) {
    for word in std::iter::once(&statement.name).chain(&statement.arguments) {
        if word.text.contains("__PILLAR__") {
            let problem = format!("placeholder {:?} is not replaced", word.text);
            faults.mistake(&word.place, problem, "the value that it stands for");
        }
    }
    for inner in statement.body.iter().flatten() {
        refuse_placeholders(inner, faults);
    }
}
