//! Flags of the command line over those of the file.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use super::{Reading, Setting, read};
use crate::args::{Command, CommandLine, RunArgs};

/// The flags that say where the cluster is: one of the command line beats all of the file.
const SOURCES: [&str; 4] = ["--manifests", "--kubeconfig", "--api-endpoints", "--master"];

/// The arguments of `podway run` that come of both, and what the file was.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) args: Box<RunArgs>,
    /// What the file says; settings that the command line beats are left out.
    pub(crate) reading: Reading,
}

/// Puts the flags of the file's `text` before those of the command line `line`.
///
/// # Errors
/// What clap says, which it never does of flags that it has taken alone.
pub(crate) fn merge(line: &[OsString], text: &str) -> Result<Merged, clap::Error> {
    let command = CommandLine::command();
    let matches = command.clone().try_get_matches_from(line)?;
    let run = matches.subcommand_matches("run");
    let mut reading = read(text, &flags(&command));
    reading.settings.retain(|setting| !is_beaten(setting, run));
    let mut whole: Vec<OsString> = line.iter().take(2).cloned().collect();
    let of_file = reading.settings.iter();
    whole.extend(of_file.map(|setting| format!("{}={}", setting.flag, setting.value).into()));
    whole.extend(line.iter().skip(2).cloned());
    let matches = command.try_get_matches_from(&whole)?;
    if let Command::Run(args) = CommandLine::from_arg_matches(&matches)?.command {
        Ok(Merged { args, reading })
    } else {
        Err(clap::Error::new(ErrorKind::InvalidSubcommand))
    }
}

/// The flags of `podway run`, with their dashes.
fn flags(command: &clap::Command) -> Vec<String> {
    let run = command.find_subcommand("run");
    let arguments = run.into_iter().flat_map(clap::Command::get_arguments);
    arguments.filter_map(|argument| Some(format!("--{}", argument.get_long()?))).collect()
}

/// Whether the command line says otherwise.
fn is_beaten(setting: &Setting, run: Option<&ArgMatches>) -> bool {
    let typed = |flag: &str| {
        let id = flag.trim_start_matches('-').replace('-', "_");
        run.is_some_and(|run| run.value_source(&id) == Some(ValueSource::CommandLine))
    };
    let flag = setting.flag.as_str();
    typed(flag) || (SOURCES.contains(&flag) && SOURCES.into_iter().any(typed))
}
