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

impl Templates {
    /// The templates of these lines, in their order.
    pub fn new<'c>(lines: impl IntoIterator<Item = &'c plugin::Template>) -> Self {
        Self(lines.into_iter().cloned().map(Arc::new).collect())
    }

    /// Answers a question of `client`.
    #[must_use]
    pub fn answer(&self, question: &Query, client: IpAddr) -> Outcome {
        let mut name = None;
        for template in &self.0 {
            let Some(zone) = fits(template, question) else { continue };
            let name = name.get_or_insert_with(|| presentation::lower_text(&question.name));
            let captures = template.matches.iter().find_map(|match_| match_.regex().captures(name));
            if captures.is_none() && !template.matches.is_empty() {
                if template.fallthrough.covers(&question.name) {
                    continue;
                }
                return Outcome::Reply(Reply::failure());
            }
            let filling = Filling { question, name, zone, client, captures };
            // What a name cannot be made a record of is an error of the template.
            return Outcome::Reply(reply(template, &filling).unwrap_or_else(Reply::failure));
        }
        Outcome::Next
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

/// The reply of a template; `None` if what it makes is no record.
fn reply(template: &plugin::Template, filling: &Filling<'_>) -> Option<Reply> {
    if template.rcode == ResponseCode::ServFail {
        let extended_error = template.extended_error.clone();
        return Some(Reply { extended_error, ..Reply::failure() });
    }
    let records = |texts: &[TemplateText]| -> Option<Vec<Record>> {
        texts.iter().map(|text| filling.record(text)).collect()
    };
    let mut reply = Reply {
        answers: records(&template.answer)?,
        authorities: records(&template.authority)?,
        additionals: records(&template.additional)?,
        extended_error: template.extended_error.clone(),
        ..Reply::empty(template.rcode)
    };
    reply.spell_as(&filling.question.name);
    Some(reply)
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
