//! `header`: flags of queries and replies.

use hickory_proto::op::{Message, Metadata};
use podway_dns_corefile::plugin::{self, Flag, HeaderRule, Side};

/// The `header` lines of a server block.
#[derive(Debug, Clone, Default)]
pub struct Header(Vec<HeaderRule>);

impl Header {
    /// The rules of these lines, in their order.
    pub fn new<'c>(lines: impl IntoIterator<Item = &'c plugin::Header>) -> Self {
        Self(lines.into_iter().flat_map(|line| line.rules.iter().cloned()).collect())
    }

    /// Changes the flags of a query.
    pub fn query(&self, query: &mut Message) {
        self.apply(Side::Query, &mut query.metadata);
    }

    /// Changes the flags of a reply.
    pub fn reply(&self, reply: &mut Message) {
        self.apply(Side::Response, &mut reply.metadata);
    }

    /// Applies the rules for messages of one side.
    fn apply(&self, side: Side, metadata: &mut Metadata) {
        for rule in self.0.iter().filter(|rule| rule.side == side) {
            for flag in &rule.flags {
                let flag = match flag {
                    Flag::AuthoritativeAnswer => &mut metadata.authoritative,
                    Flag::RecursionAvailable => &mut metadata.recursion_available,
                    Flag::RecursionDesired => &mut metadata.recursion_desired,
                };
                *flag = rule.value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::RecordType;

    use super::*;
    use crate::testing::{plugin, query};

    #[test]
    fn flags_change_in_the_messages_of_their_side_in_order() {
        let line = plugin!(
            Header,
            "header {\n query clear rd\n response set aa ra\n response clear ra\n}"
        );
        let header = Header::new([&line]);
        let flags = |message: &Message| {
            let Metadata { authoritative, recursion_available, recursion_desired, .. } =
                message.metadata;
            (authoritative, recursion_available, recursion_desired)
        };
        let mut message = query("a.example", RecordType::A);
        header.query(&mut message);
        assert_eq!(flags(&message), (false, false, false));
        let mut message = query("a.example", RecordType::A);
        message.metadata.recursion_available = true;
        header.reply(&mut message);
        assert_eq!(flags(&message), (true, false, true));
    }
}
