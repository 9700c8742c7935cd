//! Why following a kind was interrupted, and whose fault it is.

use std::error::Error;
use std::time::Duration;

use thiserror::Error;

use super::connect::AccessError;
use super::event::{Malformed, Refusal};
use super::lines::LineTooLong;

/// Why following a kind was interrupted.
#[derive(Debug, Error)]
pub(super) enum Failure {
    /// No client can be made.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// No answer came.
    #[error("the API server at {endpoint} does not answer")]
    Unreachable {
        /// Its address.
        endpoint: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// An answer took too long.
    #[error("the API server at {endpoint} does not answer within {} s", patience.as_secs_f64())]
    NoAnswer {
        /// Its address.
        endpoint: String,
        /// How long it was waited for.
        patience: Duration,
    },
    /// An answer broke off.
    #[error("the connection to the API server broke")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
    /// An answer went silent.
    #[error("the API server said nothing for {} s", silence.as_secs_f64())]
    Silent {
        /// How long.
        silence: Duration,
    },
    /// A list ended before it was whole.
    #[error("the API server ended a list before it was whole")]
    ListCut,
    /// An answer is larger than any can be.
    #[error("the API server sent more than {limit} bytes at once")]
    TooLarge {
        /// The most that is taken.
        limit: usize,
    },
    /// An event never ends.
    #[error(transparent)]
    Line(#[from] LineTooLong),
    /// An answer is not what it should be.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The server refuses.
    #[error("{refusal}")]
    Refused {
        /// What it says.
        refusal: Refusal,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The server does not stream lists.
    #[error("the API server does not stream lists")]
    Unstreamed,
    /// The store is gone: we are stopping.
    #[error("nobody listens")]
    NobodyListens,
}

impl Failure {
    /// A refusal within an answer.
    pub(super) const fn refused(refusal: Refusal) -> Self {
        Self::Refused { refusal, retry_after: None }
    }

    /// The refusal, if it is one.
    pub(super) const fn refusal(&self) -> Option<&Refusal> {
        if let Self::Refused { refusal, .. } = self { Some(refusal) } else { None }
    }

    /// When the server wants to be asked again.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        if let Self::Refused { retry_after, .. } = self { *retry_after } else { None }
    }

    /// Whether another address may do better.
    pub(super) fn is_of_server(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::NoAnswer { .. }
            | Self::Broken(_)
            | Self::Silent { .. }
            | Self::ListCut
            | Self::TooLarge { .. }
            | Self::Line(_)
            | Self::Malformed(_) => true,
            Self::Refused { refusal, .. } => refusal.code >= 500,
            Self::Access(_) | Self::Unstreamed | Self::NobodyListens => false,
        }
    }

    /// Whether another token or certificate may do better.
    pub(super) fn is_of_credentials(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.code == 401)
    }

    /// What it means if it is about a streamed list that was begun: a server that does not know
    /// them refuses the parameters, or goes on as a watch and says nothing.
    pub(super) fn of_streamed_list(self, listing: bool) -> Self {
        let refused = self.refusal().is_some_and(|refusal| matches!(refusal.code, 400 | 422));
        if listing && (refused || matches!(self, Self::Silent { .. })) {
            Self::Unstreamed
        } else {
            self
        }
    }
}

impl Refusal {
    /// Whether the server has forgotten the version it was asked to go on from.
    pub(super) fn is_expired(&self) -> bool {
        self.code == 410 || matches!(self.reason.as_str(), "Expired" | "Gone")
    }

    /// Whether the server does not have the kind.
    pub(super) const fn is_unknown(&self) -> bool {
        self.code == 404
    }

    /// Whether the server does not have the kind, or does not show it to us.
    pub(super) const fn is_absence(&self) -> bool {
        matches!(self.code, 403 | 404)
    }
}
