//! Follows one kind: lists it, watches it, and goes on from where it was after every interruption.
//!
//! A list comes as a stream of events where the server can (KEP-3157), else in pages. A watch that
//! ends or breaks is resumed at the last version that was heard of; only a version that the server
//! has forgotten (410) leads to a new list.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use podway_cluster_model::chain::Chain;
use podway_cluster_model::name::NodeName;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::rejection::ObjectKind;
use crate::wanted::{Extras, Followed};

use super::backoff;
use super::connect::{Connector, Current};
use super::event::{self, Entry, Event, Refusal};
use super::failure::Failure;
use super::kind::{Need, Resource, concerns, need, resource};
use super::lines::Lines;
use super::query::Query;
use super::request::{Asker, Stream};
use super::status::ApiStatus;
use super::store::Input;

/// How long a watch must have lasted for its end to be no failure.
const SOUND_WATCH: Duration = Duration::from_secs(5);

/// Refused watches in a row after which the version is given up.
///
/// 6: a server that is behind the one before catches up within seconds; one whose data was put back
/// in time never does.
const REFUSALS_BEFORE_LIST: u32 = 6;

/// One thing that was heard, and when.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) kind: ObjectKind,
    pub(super) input: Input,
    pub(super) at: Instant,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Longest wait for an answer to begin.
    pub answer: Duration,
    /// Longest silence within a list.
    pub list_silence: Duration,
    /// Longest silence within a watch.
    pub watch_silence: Duration,
    /// Time between looks for a kind that the server does not show.
    pub absent: Duration,
    /// How long a watch is asked to last: from this to twice as long.
    pub watch: Duration,
}

impl Default for Timing {
    /// 15 s for an answer and 10 s between parts of a list are what a server under load may take;
    /// 150 s of silence are two bookmarks missed; 5 to 10 minutes is what other clients ask for.
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(15),
            list_silence: Duration::from_secs(10),
            watch_silence: Duration::from_secs(150),
            absent: Duration::from_secs(300),
            watch: Duration::from_secs(300),
        }
    }
}

/// How lists are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Streamed,
    Paged,
}

/// Follows one kind.
pub(super) struct Reflector {
    kind: ObjectKind,
    asker: Asker,
    connector: Arc<Connector>,
    inbox: mpsc::Sender<Heard>,
    status: ApiStatus,
    timing: Timing,
    /// What is kept of what is heard.
    wanted: Followed,
    manner: Manner,
    /// The version that is known; `None` before the first list, and after a version was forgotten.
    version: Option<String>,
    /// Failures in a row.
    failures: u32,
}

/// What all reflectors share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) node: NodeName,
    pub(super) wanted: Followed,
    pub(super) connector: Arc<Connector>,
    pub(super) inbox: mpsc::Sender<Heard>,
    pub(super) status: ApiStatus,
    pub(super) timing: Timing,
}

impl Reflector {
    /// A reflector that has heard nothing.
    pub(super) fn new(kind: ObjectKind, shared: Shared) -> Self {
        let Shared { node, wanted, connector, inbox, status, timing } = shared;
        let asker = Asker { kind, path: resource(kind).path, node, answer: timing.answer };
        Self {
            kind,
            asker,
            connector,
            inbox,
            status,
            timing,
            wanted,
            manner: Manner::Streamed,
            version: None,
            failures: 0,
        }
    }

    /// Goes on until nobody listens.
    pub(super) async fn run(mut self) {
        loop {
            if need(self.kind) == Need::Extra && !self.wanted.extras().imports {
                self.wanted.changed(|_, after| after.imports).await;
            }
            let began = Instant::now();
            let Some(ended) = self.session_until_more_is_wanted().await else {
                self.status.ended(self.kind);
                debug!(kind = %self.kind, "more is wanted of each object; listing anew");
                self.version = None;
                continue;
            };
            let wait = match ended {
                Ok(()) => {
                    self.status.ended(self.kind);
                    debug!(kind = %self.kind, version = self.version, "watch ended; it is resumed");
                    if began.elapsed() < SOUND_WATCH { self.back_off() } else { Duration::ZERO }
                }
                Err(Failure::NobodyListens) => return,
                Err(failure) => self.failed(failure).await,
            };
            sleep(wait).await;
        }
    }

    /// One list or watch; `None` where it was given up, since it does not tell all that is wanted.
    async fn session_until_more_is_wanted(&mut self) -> Option<Result<(), Failure>> {
        let kind = self.kind;
        let more = move |before: &Extras, after: &Extras| concerns(kind, before, after);
        let mut wanted = self.wanted.clone();
        let ended = tokio::select! {
            biased;
            () = wanted.changed(more) => None,
            ended = self.session() => Some(ended),
        };
        // What came to be wanted while the session ended means a new list too.
        let more = self.wanted.look(more);
        ended.filter(|_| !more)
    }

    /// One list or watch, from the request to the end of the answer.
    async fn session(&mut self) -> Result<(), Failure> {
        let current = self.connector.client().await?;
        let result = match (&self.version, self.manner) {
            (Some(_), _) => self.follow(&current, false).await,
            (None, Manner::Streamed) => self.follow(&current, true).await,
            (None, Manner::Paged) => self.list(&current).await,
        };
        if let Err(failure) = &result {
            if failure.is_of_credentials() {
                self.connector.unauthorized(current.generation);
            } else if failure.is_of_server() {
                self.connector.unreachable(current.generation);
            }
        }
        result
    }

    /// Lists page by page.
    async fn list(&mut self, current: &Current) -> Result<(), Failure> {
        self.status.began(self.kind, &current.endpoint, true);
        self.tell(self.list_begins()).await?;
        let mut token = None;
        loop {
            let query = Query::Page { token: token.as_deref() };
            let mut stream = self.asker.ask(current, query).await?;
            let content = stream.whole(self.timing.list_silence).await?;
            let page = event::page(self.kind, &content)?;
            drop(content);
            self.status.heard(self.kind);
            for entry in page.entries {
                self.tell_object(entry).await?;
            }
            token = page.next;
            if token.is_none() {
                self.tell(Input::ListEnds).await?;
                self.version = Some(page.version);
                self.failures = 0;
                return Ok(());
            }
        }
    }

    /// Watches; with `listing`, all objects come first.
    async fn follow(&mut self, current: &Current, mut listing: bool) -> Result<(), Failure> {
        let seconds = self.timing.watch.as_secs().max(1);
        let seconds = fastrand::u64(seconds..=seconds * 2);
        let query = match &self.version {
            Some(version) if !listing => Query::Watch { version, seconds },
            _ => Query::ListAndWatch { seconds },
        };
        let answer = self.asker.ask(current, query).await;
        let mut stream = answer.map_err(|failure| failure.of_streamed_list(listing))?;
        self.status.began(self.kind, &current.endpoint, listing);
        self.status.heard(self.kind);
        if listing {
            self.tell(self.list_begins()).await?;
        }
        let (mut lines, mut events) = (Lines::default(), Vec::new());
        loop {
            let Some(bytes) = self.next(&mut stream, listing).await? else {
                return if listing { Err(Failure::ListCut) } else { Ok(()) };
            };
            let kind = self.kind;
            lines.feed(&bytes, |line| {
                if !line.is_empty() {
                    events.extend(event::event(kind, line)?);
                }
                Ok::<_, Failure>(())
            })?;
            drop(bytes);
            for event in events.drain(..) {
                self.take(event, &mut listing).await?;
            }
            self.status.heard(self.kind);
        }
    }

    /// The next part of a watch.
    async fn next(&self, stream: &mut Stream, listing: bool) -> Result<Option<Bytes>, Failure> {
        if listing {
            // A server that does not know streamed lists goes on as a watch, and says nothing.
            let part = stream.next(self.timing.list_silence).await;
            part.map_err(|failure| failure.of_streamed_list(true))
        } else {
            stream.next(self.timing.watch_silence).await
        }
    }

    /// Passes one event on.
    async fn take(&mut self, event: Event, listing: &mut bool) -> Result<(), Failure> {
        match event {
            Event::Object { entry, version } => {
                self.tell_object(entry).await?;
                if !*listing {
                    self.version = Some(version);
                    self.failures = 0;
                }
            }
            Event::Bookmark { ends_list: true, version } => {
                if std::mem::take(listing) {
                    self.tell(Input::ListEnds).await?;
                }
                self.version = Some(version);
                self.failures = 0;
            }
            Event::Bookmark { ends_list: false, .. } if *listing => {
                return Err(Failure::Unstreamed);
            }
            Event::Bookmark { ends_list: false, version } => {
                self.version = Some(version);
                self.failures = 0;
            }
            Event::Failure(refusal) => return Err(Failure::refused(refusal)),
        }
        Ok(())
    }

    fn list_begins(&self) -> Input {
        Input::ListBegins { kept: self.wanted.extras().clone() }
    }

    /// Passes an object on, with what is wanted of it.
    async fn tell_object(&self, mut entry: Entry) -> Result<(), Failure> {
        entry.change = entry.change.and_then(|change| self.wanted.extras().kept_of(change));
        self.tell(Input::Object(Box::new(entry))).await
    }

    async fn tell(&self, input: Input) -> Result<(), Failure> {
        let heard = Heard { kind: self.kind, input, at: Instant::now() };
        self.inbox.send(heard).await.map_err(|_gone| Failure::NobodyListens)
    }

    /// Takes note of a failure and says how long to wait.
    async fn failed(&mut self, failure: Failure) -> Duration {
        if matches!(failure, Failure::Unstreamed) {
            debug!(kind = %self.kind, "API server streams no lists; they are asked for in pages");
            self.manner = Manner::Paged;
            return Duration::ZERO;
        }
        let text = Chain(&failure).to_string();
        let log = self.status.failed(self.kind, &text);
        let refusal = failure.refusal();
        if refusal.is_some_and(Refusal::is_expired) {
            info!(kind = %self.kind, version = self.version, "API server has forgotten the version; listing anew");
            self.version = None;
            return self.back_off();
        }
        if let Some(refusal) = refusal
            && refusal.is_absence()
            && need(self.kind) != Need::Required
        {
            let Resource { path, older_path, .. } = resource(self.kind);
            let absent = refusal.is_unknown();
            self.version = None;
            self.failures = 0;
            match older_path {
                Some(older) if absent && self.asker.path == path => {
                    self.asker.path = older;
                    return Duration::ZERO;
                }
                Some(_) | None => self.asker.path = path,
            }
            self.status.without(self.kind);
            let reason = refusal.to_string();
            if self.tell(Input::Unavailable { reason, absent }).await.is_err() {
                return Duration::ZERO;
            }
            return self.timing.absent.mul_f64(1.0 + fastrand::f64());
        }
        let wait = self.wait_after(&failure);
        if log {
            let resource = resource(self.kind).resource;
            warn!(
                resource,
                error = text,
                retry_ms = wait.as_millis(),
                "API server cannot be followed; what is known stays in force"
            );
        } else {
            debug!(kind = %self.kind, error = text, retry_ms = wait.as_millis(), "still failing");
        }
        wait
    }

    /// The wait after a failure that may pass.
    fn wait_after(&mut self, failure: &Failure) -> Duration {
        let backed_off = self.back_off();
        if failure.refusal().is_some() && self.failures >= REFUSALS_BEFORE_LIST {
            self.version = None;
        }
        if let Some(asked_for) = failure.retry_after() {
            return backed_off.max(asked_for);
        }
        // Every address is tried at once; only a round of failures is a reason to wait.
        let addresses = u32::try_from(self.connector.addresses()).unwrap_or(u32::MAX);
        if failure.is_of_server() && !self.failures.is_multiple_of(addresses) {
            return Duration::ZERO;
        }
        backed_off
    }

    /// Counts a failure, and gives the wait that comes of it.
    fn back_off(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        backoff::wait(self.failures, fastrand::f64())
    }
}
