//! Renders a plan as nftables elements and writes them by nfnetlink.
//!
//! ```text
//! ServicePlan --program--> Transaction --encode--> bytes --kernel--> committed
//!                PURE          PURE       PURE        EDGE
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`names`] | names of sets and chains |
//! | [`ruleset`] | a table as data, and its nft text |
//! | [`schema`] | the constant sets, chains and rules |
//! | [`slots`] | which endpoint has which slot of a frontend |
//! | [`hashing`] | the same where the client's address decides |
//! | [`element`] | elements of the sets |
//! | [`program`] | what is in the kernel, and the change that a new plan needs |
//! | [`transaction`] | such a change as data |
//! | [`encode`] | a transaction as nfnetlink bytes |
//! | [`fake`] | a kernel in memory: refuses what the kernel refuses, and routes packets |
//! | [`kernel`] | EDGE: commits transactions |
//! | [`socket`] | EDGE: the nfnetlink socket |
//! | [`monitor`] | EDGE: tells when somebody else changes our tables |

mod decode;
pub mod element;
pub mod encode;
pub mod fake;
pub mod hashing;
pub mod kernel;
pub mod monitor;
pub mod names;
pub mod program;
pub mod ruleset;
pub mod schema;
pub mod slots;
pub mod socket;
pub mod transaction;
