//! `podway corefile`: says what a Corefile means, or every mistake in it.
//!
//! Nothing is listened to or changed: the file is read as CoreDNS would read it.

use std::fs;
use std::io::{self, Write};

use anyhow::{Context, anyhow};
use podway_dns_corefile::{Lenience, read};

use crate::args::CorefileArgs;
use crate::dns::Files;

/// Prints the meaning of a Corefile, its warnings on standard error.
///
/// # Errors
/// The file cannot be read, or every mistake in it.
pub(crate) fn corefile(args: &CorefileArgs) -> anyhow::Result<()> {
    let path = args.file.to_string_lossy();
    let contents = fs::read(&args.file).with_context(|| format!("cannot read {path}"))?;
    let lenience = if args.corefile_lenient { Lenience::Lenient } else { Lenience::Strict };
    let reading = read(&path, &contents, &Files::default(), lenience)
        .map_err(|mistakes| anyhow!("the Corefile cannot be used\n{mistakes}"))?;
    for warning in &reading.warnings {
        writeln!(io::stderr(), "warning: {warning}")?;
    }
    write!(io::stdout(), "{}", reading.config)?;
    Ok(())
}
