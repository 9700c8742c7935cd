//! `template`: answers made of the question.
//!
//! The first template of a block that fits a question answers it. One whose zone, class and type
//! fit and whose expressions do not is the end of the search, unless the name falls through.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Record, RecordType};
use podway_dns_corefile::plugin::{self, TemplateField, TemplatePart, TemplateText};
use podway_dns_corefile::value::Zone;
use regex::Captures;

use crate::{Outcome, Reply, master, presentation};

/// How long a record lives that does not say so, in seconds, as in CoreDNS.
const DEFAULT_TTL: u32 = 3600;

/// The templates of a server block.
#[derive(Debug, Clone, Default)]
pub struct Templates(Vec<Arc<plugin::Template>>);

/// What the gaps of a record are filled with.
struct Filling<'q> {
    question: &'q Query,
    /// The name asked, as the expressions see it.
    name: &'q str,
    zone: &'q Zone,
    client: IpAddr,
    /// What the expression matched; `None` where there is no expression.
    captures: Option<Captures<'q>>,
}

/// A template that was for a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched<'t> {
    /// Its zone.
    pub zone: &'t Zone,
    /// The section and the text of what could not be made a record, if anything.
    pub failed: Option<(&'static str, &'t TemplateText)>,
}

impl Templates {
    /// The templates of these lines, in their order.
    pub fn new<'c>(lines: impl IntoIterator<Item = &'c plugin::Template>) -> Self {
        Self(lines.into_iter().cloned().map(Arc::new).collect())
    }

    /// Answers a question of `client`; tells the template that was for it, if one was.
    #[must_use]
    pub fn answer(&self, question: &Query, client: IpAddr) -> (Outcome, Option<Matched<'_>>) {
        let mut name = None;
        for template in &self.0 {
            let Some(zone) = fits(template, question) else { continue };
            let name = name.get_or_insert_with(|| presentation::lower_text(&question.name));
            let captures = template.matches.iter().find_map(|match_| match_.regex().captures(name));
            if captures.is_none() && !template.matches.is_empty() {
                if template.fallthrough.covers(&question.name) {
                    continue;
                }
                return (Outcome::Reply(Reply::failure()), None);
            }
            let filling = Filling { question, name, zone, client, captures };
            // What a name cannot be made a record of is an error of the template.
            let made = reply(template, &filling);
            let failed = made.as_ref().err().copied();
            let reply = made.unwrap_or_else(|_failed| Reply::failure());
            return (Outcome::Reply(reply), Some(Matched { zone, failed }));
        }
        (Outcome::Next, None)
    }
}

/// The zone of the template that the question is in, if its class and type fit too.
fn fits<'t>(template: &'t plugin::Template, question: &Query) -> Option<&'t Zone> {
    let class = [template.class, question.query_class].contains(&DNSClass::ANY)
        || template.class == question.query_class;
    let record_type = [template.record_type, question.query_type].contains(&RecordType::ANY)
        || template.record_type == question.query_type;
    let zones = template.zones.iter().filter(|zone| zone.contains(&question.name));
    zones.max_by_key(|zone| zone.name().iter().len()).filter(|_zone| class && record_type)
}

/// The reply of a template.
///
/// # Errors
/// The section and the text of what makes no record.
fn reply<'t>(
    template: &'t plugin::Template,
    filling: &Filling<'_>,
) -> Result<Reply, (&'static str, &'t TemplateText)> {
    if template.rcode == ResponseCode::ServFail {
        let extended_error = template.extended_error.clone();
        return Ok(Reply { extended_error, ..Reply::failure() });
    }
    let records = |section, texts: &'t [TemplateText]| -> Result<Vec<Record>, _> {
        texts.iter().map(|text| filling.record(text).ok_or((section, text))).collect()
    };
    let mut reply = Reply {
        answers: records("answer", &template.answer)?,
        authorities: records("authority", &template.authority)?,
        additionals: records("additional", &template.additional)?,
        extended_error: template.extended_error.clone(),
        ..Reply::empty(template.rcode)
    };
    reply.spell_as(&filling.question.name);
    Ok(reply)
}

impl Filling<'_> {
    /// The record that a text makes.
    fn record(&self, text: &TemplateText) -> Option<Record> {
        let text: String = text.parts().iter().map(|part| self.part(part)).collect();
        master::record(&text, DEFAULT_TTL).ok()
    }

    /// The text of one piece.
    fn part(&self, part: &TemplatePart) -> String {
        let field = match part {
            TemplatePart::Text(text) => return text.clone(),
            TemplatePart::Field(field) => field,
        };
        match field {
            TemplateField::Name => self.name.to_owned(),
            TemplateField::Type => self.question.query_type.to_string(),
            TemplateField::Class => self.question.query_class.to_string(),
            TemplateField::Zone => presentation::lower_text(self.zone.name()),
            TemplateField::Remote => self.client.to_canonical().to_string(),
            TemplateField::Group(name) => {
                self.group(|captures| captures.name(name).map(|found| found.as_str()))
            }
            TemplateField::Match(number) => {
                self.group(|captures| captures.get(*number).map(|found| found.as_str()))
            }
        }
    }

    /// A group of the match; empty where it took no part. Without expression the match is the name.
    fn group<'f>(&'f self, get: impl Fn(&'f Captures<'_>) -> Option<&'f str>) -> String {
        match &self.captures {
            Some(captures) => get(captures).unwrap_or_default().to_owned(),
            None => self.name.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
