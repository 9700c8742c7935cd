//! Plugins that answer from tables: `hosts`, `template`, `file`.

use std::sync::Arc;

use arc_swap::ArcSwap;
use podway_dns_plugin::{Outcome, hosts, template, zone_file};

use super::answering::{ready, said};
use super::{Next, Saying, Stage};
use crate::metrics::StageMetrics;
use crate::query::Query;

/// Does what a plugin makes of a question; an alias is followed by asking the whole server.
fn outcome<'a>(asked: Query, outcome: Outcome, next: Next<'a>) -> Saying<'a> {
    match outcome {
        Outcome::Next => next.serve(asked),
        Outcome::Reply(reply) => ready(said(&asked, reply)),
        Outcome::Follow(follow) => Box::pin(async move {
            let found = next.context.resolve(asked.about(&follow.question)).await;
            said(&asked, follow.finish(Some(found.message)))
        }),
    }
}

/// `hosts`: addresses and their names from a file.
#[derive(Debug)]
pub(crate) struct Hosts(pub(crate) Arc<ArcSwap<hosts::Hosts>>);

impl Stage for Hosts {
    fn serve<'a>(&'a self, asked: Query, next: Next<'a>) -> Saying<'a> {
        let answer = self.0.load().answer(&asked.asked());
        outcome(asked, answer, next)
    }
}

/// `template`: answers made of questions.
#[derive(Debug)]
pub(crate) struct Template(pub(crate) template::Templates, pub(crate) StageMetrics);

impl Stage for Template {
    fn serve<'a>(&'a self, asked: Query, next: Next<'a>) -> Saying<'a> {
        let question = asked.asked();
        let (answer, matched) = self.0.answer(&question, next.context.client.ip());
        if let Some(matched) = matched {
            self.1.matched(&next.context.server, &question, &matched);
        }
        outcome(asked, answer, next)
    }
}

/// `file`: zones from master files.
#[derive(Debug)]
pub(crate) struct ZoneFiles(pub(crate) Arc<ArcSwap<zone_file::ZoneFiles>>);

impl Stage for ZoneFiles {
    fn serve<'a>(&'a self, asked: Query, next: Next<'a>) -> Saying<'a> {
        let answer = self.0.load().answer(&asked.asked());
        outcome(asked, answer, next)
    }
}
