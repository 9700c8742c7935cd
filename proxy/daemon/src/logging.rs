//! Where log lines go, and in which form.

use std::io::IsTerminal;

use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};

/// Sends log lines to standard error, as `config` wants them; to be called once.
pub(crate) fn start(config: LogConfig) -> anyhow::Result<()> {
    let LogConfig { levels, format } = config;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(levels).with(lines).try_init()?;
    Ok(())
}
