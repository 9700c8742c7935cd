//! The Corefile read into typed configuration.
#![forbid(unsafe_code)]
