//! Corefiles in use, each with its meaning beside it. The same files are asked over sockets by
//! `dns/server`'s tests `corefile`, `goldens` and `multicluster`.
//!
//! `PODWAY_BLESS=1` writes what the code says now; the difference is read in review.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "the crate is pure, its tests read their data")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use podway_dns_corefile::{Lenience, Mistake, SourceError, Sources, read};

/// Files below one folder, and the variables that the Corefiles name.
struct Folder {
    root: PathBuf,
    variables: BTreeMap<&'static str, &'static str>,
}

impl Sources for Folder {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|value| (*value).to_owned())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, SourceError> {
        fs::read(self.root.join(path)).map_err(|_error| SourceError::Missing)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, SourceError> {
        let entries =
            fs::read_dir(self.root.join(folder)).map_err(|_error| SourceError::Missing)?;
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        Ok(names.collect())
    }
}

/// What a Corefile means, and below it what has no effect.
fn meaning(folder: &Folder, name: &str) -> String {
    let contents = fs::read(folder.root.join(name)).unwrap();
    let reading = read(name, &contents, folder, Lenience::Strict)
        .unwrap_or_else(|mistakes| panic!("{name} has mistakes:\n{mistakes}"));
    let warnings: Vec<String> = reading.warnings.iter().map(Mistake::to_string).collect();
    let mut text = reading.config.to_string();
    if !warnings.is_empty() {
        text.push_str(&format!("\nwarnings\n  {}\n", warnings.join("\n  ")));
    }
    text
}

#[test]
fn corefiles_mean_what_their_golden_files_say() {
    let folder = Folder {
        root: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data"),
        variables: BTreeMap::from([
            ("UPSTREAM_ONE", "192.0.2.1"),
            ("UPSTREAM_TWO", "192.0.2.2:54"),
        ]),
    };
    let mut names: Vec<String> = folder.list("").unwrap();
    names.retain(|name| name.ends_with(".Corefile"));
    names.sort();
    assert_eq!(names.len(), 11, "{names:?}");
    let bless = std::env::var_os("PODWAY_BLESS").is_some();
    let mut differing = Vec::new();
    for name in names {
        let golden = folder.root.join(name.replace(".Corefile", ".golden.txt"));
        let meaning = meaning(&folder, &name);
        if bless {
            fs::write(&golden, &meaning).unwrap();
        }
        if fs::read_to_string(&golden).unwrap_or_default() != meaning {
            differing.push(format!("--- {name} now means\n{meaning}"));
        }
    }
    assert!(
        differing.is_empty(),
        "{}\n`cargo xtask bless` rewrites the golden files",
        differing.join("\n")
    );
}
