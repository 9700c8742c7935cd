//! `podway corefile`: says what a Corefile means, or every mistake in it.
//!
//! Nothing is listened to or changed: the file is read as CoreDNS would read it.

use std::fs;
use std::io::{self, Write};

use anyhow::{Context, anyhow};
use podway_dns_corefile::{Lenience, SourceError, Sources, read};

use crate::args::CorefileArgs;

/// Prints the meaning of a Corefile, its warnings on standard error.
///
/// # Errors
/// The file cannot be read, or every mistake in it.
pub(crate) fn corefile(args: &CorefileArgs) -> anyhow::Result<()> {
    let path = args.file.to_string_lossy();
    let contents = fs::read(&args.file).with_context(|| format!("cannot read {path}"))?;
    let lenience = if args.corefile_lenient { Lenience::Lenient } else { Lenience::Strict };
    let reading = read(&path, &contents, &Files, lenience)
        .map_err(|mistakes| anyhow!("the Corefile cannot be used\n{mistakes}"))?;
    for warning in &reading.warnings {
        writeln!(io::stderr(), "warning: {warning}")?;
    }
    write!(io::stdout(), "{}", reading.config)?;
    Ok(())
}

/// The files and the environment of this process.
struct Files;

impl Sources for Files {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, SourceError> {
        fs::read(path).map_err(source_error)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, SourceError> {
        let folder = if folder.is_empty() { "." } else { folder };
        let entries = fs::read_dir(folder).map_err(source_error)?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(source_error)?;
            if entry.path().is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }
}

fn source_error(error: io::Error) -> SourceError {
    if error.kind() == io::ErrorKind::NotFound {
        SourceError::Missing
    } else {
        SourceError::Unreadable { reason: error.to_string() }
    }
}
