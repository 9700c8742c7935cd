//! `nsid`: who answered, for those who ask (RFC 5001).

use hickory_proto::op::{Edns, Message};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use podway_dns_corefile::plugin;

/// The identity of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nsid(String);

impl Nsid {
    /// The identity that the line gives, else the name of the host.
    #[must_use]
    pub fn new(line: &plugin::Nsid, host: &str) -> Self {
        Self(line.identifier.clone().unwrap_or_else(|| host.to_owned()))
    }

    /// The identity, if the query asks for it: the data of the option.
    #[must_use]
    pub fn identity(&self, query: &Message) -> Option<&[u8]> {
        let edns = query.edns.as_ref()?;
        edns.option(EdnsCode::NSID).map(|_asked| self.0.as_bytes())
    }

    /// Adds the identity to a reply, if the query asks for it.
    pub fn mark(&self, query: &Message, reply: &mut Message) {
        if let Some(identity) = self.identity(query) {
            let options = reply.edns.get_or_insert_with(Edns::new).options_mut();
            options.remove(EdnsCode::NSID);
            options.insert(EdnsOption::Unknown(EdnsCode::NSID.into(), identity.to_vec()));
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::RecordType;
    use hickory_proto::rr::rdata::opt::NSIDPayload;

    use super::*;
    use crate::testing::{plugin, query, reply};

    #[test]
    fn identity_is_told_to_those_who_ask() {
        let nsid = Nsid::new(&plugin!(Nsid, "nsid node one"), "host");
        let mut asked = query("a.example", RecordType::A);
        let mut answered = reply(&asked, Vec::new());
        nsid.mark(&asked, &mut answered);
        assert_eq!(answered.edns, None);
        asked.edns = Some(Edns::new());
        nsid.mark(&asked, &mut answered);
        assert_eq!(answered.edns, None);
        let empty = EdnsOption::NSID(NSIDPayload::new(Vec::new()).unwrap());
        asked.edns.as_mut().unwrap().options_mut().insert(empty);
        nsid.mark(&asked, &mut answered);
        let read = Message::from_vec(&answered.to_vec().unwrap()).unwrap();
        let option = read.edns.unwrap().option(EdnsCode::NSID).cloned().unwrap();
        assert_eq!(Vec::<u8>::try_from(&option).unwrap(), b"node one");
    }

    #[test]
    fn without_a_text_the_host_is_named() {
        assert_eq!(Nsid::new(&plugin!(Nsid, "nsid"), "host"), Nsid("host".to_owned()));
    }
}
