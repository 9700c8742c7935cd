//! Whose turn it is to write the tables: one process at a time in each network namespace.
//!
//! An update starts the new process while the old one still serves. Both watch the tables, so each
//! would put back what the other writes. Two locked files in the state folder keep them apart: `turn`
//! is held by whoever writes, `next` by whoever asks for it. The holder looks whether somebody asks,
//! finishes what it is writing and gives up the turn; it then stands by and takes over again should
//! its successor end. The kernel lets go of the locks of a process that is killed (flock(2)).
//!
//! The files carry the number of the network namespace, because the tables belong to that: nodes that
//! share a folder, as in a lab, do not wait for each other.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::{error, info};

use crate::beacon::Said;
use crate::driver::Event;

/// How often the holder looks whether somebody asks for the turn.
///
/// 100 ms: a successor hardly waits, and one look is one system call.
const LOOK: Duration = Duration::from_millis(100);

/// The network namespace of this process, namespaces(7).
const NETWORK_NAMESPACE: &str = "/proc/self/ns/net";

/// The two files, not locked yet.
#[derive(Debug)]
pub struct Turn {
    turn: File,
    next: File,
}

impl Turn {
    /// Opens the files in `folder`, which is made where there is none.
    ///
    /// # Errors
    /// The folder or a file cannot be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let namespace = fs::metadata(NETWORK_NAMESPACE)?.ino();
        Self::open_for(folder, namespace)
    }

    fn open_for(folder: &Path, namespace: u64) -> io::Result<Self> {
        let open = |name: &str| {
            let path = folder.join(format!("{name}-{namespace}.lock"));
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
        };
        Ok(Self { turn: open("turn")?, next: open("next")? })
    }

    /// Waits for the turn after asking its holder for it.
    fn ask(&self) -> io::Result<()> {
        self.next.lock()?;
        self.turn.lock()?;
        self.next.unlock()
    }

    /// Whether somebody asks for the turn.
    fn is_asked_for(&self) -> io::Result<bool> {
        match self.next.try_lock_shared() {
            Ok(()) => self.next.unlock().map(|()| false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Gives the turn to whoever asks for it, and waits for it again without asking.
    fn give_up(&self) -> io::Result<()> {
        loop {
            self.turn.unlock()?;
            // Whoever asked has the turn, or is gone, when nobody asks any more.
            self.next.lock_shared()?;
            self.next.unlock()?;
            self.turn.lock()?;
            // It may have been given up for somebody else.
            if !self.is_asked_for()? {
                return Ok(());
            }
        }
    }
}

/// Tells the loop behind `events`, from a thread of its own, when it may write and when not.
///
/// # Errors
/// No thread can be made.
pub(crate) fn follow(turn: Turn, events: mpsc::Sender<Event>, said: Said) -> io::Result<()> {
    thread::Builder::new().name("turn".to_owned()).spawn(move || {
        if let Err(error) = take_turns(&turn, &events, &said) {
            error!(%error, "turns cannot be taken; the tables are written without");
            said.speak();
            // The loop that is gone need not be told.
            drop(events.blocking_send(Event::OurTurn));
        }
    })?;
    Ok(())
}

/// Runs until the loop is gone.
fn take_turns(turn: &Turn, events: &mpsc::Sender<Event>, said: &Said) -> io::Result<()> {
    turn.ask()?;
    while events.blocking_send(Event::OurTurn).is_ok() {
        said.speak();
        while !turn.is_asked_for()? {
            if events.is_closed() {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        let (reply, standing_by) = oneshot::channel();
        if events.blocking_send(Event::StandBy(reply)).is_err() {
            return Ok(());
        }
        // A loop that ends instead of replying does not write either.
        drop(standing_by.blocking_recv());
        said.silence();
        info!("another podway takes over the tables of this node; standing by");
        turn.give_up()?;
        info!("taking over the tables of this node again");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

    use super::*;

    /// Longer than any step takes, on a machine however busy.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Long enough for a mistake to show, most of the time.
    const MOMENT: Duration = Duration::from_millis(300);

    /// One process: what it was told, and a way to end it.
    struct Process {
        told: Receiver<&'static str>,
        end: Option<oneshot::Sender<()>>,
    }

    impl Process {
        fn start(folder: &Path, namespace: u64) -> Self {
            let turn = Turn::open_for(folder, namespace).unwrap();
            let (events, mut received) = mpsc::channel(1);
            let (tell, told) = channel();
            let (end, mut ended) = oneshot::channel::<()>();
            follow(turn, events, Said::default()).unwrap();
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    loop {
                        let event = tokio::select! {
                            event = received.recv() => event,
                            _ = &mut ended => return,
                        };
                        match event {
                            Some(Event::OurTurn) => tell.send("write").unwrap(),
                            Some(Event::StandBy(reply)) => {
                                tell.send("stand by").unwrap();
                                reply.send(()).unwrap();
                            }
                            other => panic!("{other:?}"),
                        }
                    }
                });
            });
            Self { told, end: Some(end) }
        }

        fn hears(&self) -> &'static str {
            self.told.recv_timeout(PATIENCE).unwrap()
        }

        fn hears_nothing(&self) {
            assert_eq!(self.told.recv_timeout(MOMENT), Err(RecvTimeoutError::Timeout));
        }

        fn end(&mut self) {
            self.end.take().unwrap().send(()).unwrap();
        }
    }

    #[test]
    fn successor_takes_over_and_predecessor_stands_by_for_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let old = Process::start(folder.path(), 1);
        assert_eq!(old.hears(), "write");
        let mut new = Process::start(folder.path(), 1);
        assert_eq!(old.hears(), "stand by");
        assert_eq!(new.hears(), "write");
        old.hears_nothing();
        new.end();
        assert_eq!(old.hears(), "write");
    }

    #[test]
    fn newest_process_has_the_turn_whoever_stands_by() {
        let folder = tempfile::tempdir().unwrap();
        let first = Process::start(folder.path(), 1);
        assert_eq!(first.hears(), "write");
        let second = Process::start(folder.path(), 1);
        assert_eq!((first.hears(), second.hears()), ("stand by", "write"));
        let mut third = Process::start(folder.path(), 1);
        assert_eq!((second.hears(), third.hears()), ("stand by", "write"));
        first.hears_nothing();
        third.end();
        // One of both has it, whichever.
        let taken = [&first, &second].map(|process| process.told.recv_timeout(MOMENT).is_ok());
        assert!(taken != [true, true], "two processes write");
    }

    #[test]
    fn network_namespaces_do_not_wait_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (Process::start(folder.path(), 1), Process::start(folder.path(), 2));
        assert_eq!((one.hears(), other.hears()), ("write", "write"));
    }
}
