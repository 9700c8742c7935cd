//! The daemon under test on each node.

use anyhow::{Context, Result, anyhow};

use super::{Lab, read_log};
use crate::place::node_name;
use crate::protocol::{Change, DaemonAction, DaemonState};

impl Lab {
    /// What the daemon of node `number` has logged since the lab is up.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub fn podway_log(&self, number: u8) -> Result<String> {
        read_log(&self.state.podway_log(&node_name(number)))
    }

    /// Kills the daemon of node `number` and waits until it is gone; nothing restarts it.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill_podway(&self, number: u8) -> Result<()> {
        self.end_podway(number, DaemonAction::Kill)
    }

    /// Sends SIGTERM to the daemon of node `number` and waits until it is gone.
    ///
    /// # Errors
    /// When it does not run or does not end.
    pub fn stop_podway(&self, number: u8) -> Result<()> {
        self.end_podway(number, DaemonAction::Stop)
    }

    fn end_podway(&self, number: u8, action: DaemonAction) -> Result<()> {
        self.done(Change::Daemon { node: node_name(number), action })?;
        self.wait_until("the daemon to end", || {
            Ok(matches!(self.daemon_state(number)?, DaemonState::Stopped(_)))
        })
    }

    /// Starts the daemon of node `number` again and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be started or does not become ready.
    pub fn start_podway(&self, number: u8) -> Result<()> {
        self.done(Change::Daemon { node: node_name(number), action: DaemonAction::Start })?;
        self.wait_until("the daemon to be ready", || match self.daemon_state(number)? {
            DaemonState::Ready => Ok(true),
            DaemonState::Stopped(how) => Err(anyhow!("the daemon ended: {how}")),
            DaemonState::Starting | DaemonState::Absent => Ok(false),
        })
    }

    /// State of the daemon of node `number`.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn daemon_state(&self, number: u8) -> Result<DaemonState> {
        let name = node_name(number);
        let status = self.status()?;
        let node = status.nodes.into_iter().find(|node| node.name == name);
        Ok(node.with_context(|| format!("no node {name}"))?.podway)
    }
}
