//! Our tables in the kernel's own bytes: a second reader beside nft, quick enough for every step.
//!
//! Nothing here is shared with the code under test. Sets, elements, chains and rules are kept as the
//! attributes that the kernel dumps, without those that two equal tables may differ by: handles,
//! counters, and the slots that endpoints happen to have. Source: `nf_tables.h`.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

/// `NLMSG_ERROR` and `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// `NFT_MSG_GETCHAIN`, `NFT_MSG_GETRULE`, `NFT_MSG_GETSET` and `NFT_MSG_GETSETELEM`.
const GET_CHAINS: u16 = 4;
const GET_RULES: u16 = 7;
const GET_SETS: u16 = 10;
const GET_ELEMENTS: u16 = 13;

/// `NFPROTO_IPV4` and `NFPROTO_IPV6` with the words of nft.
const FAMILIES: [(u8, &str); 2] = [(2, "ip"), (10, "ip6")];

const TABLE: &[u8] = b"podway\0";

/// Attributes of an object by number, those of one that means nothing left out.
type Attributes = BTreeMap<u16, Vec<u8>>;

/// What the kernel holds of both tables.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Dump {
    /// Declarations by family and name.
    pub(crate) sets: BTreeMap<String, Attributes>,
    /// How often each element is in each set that has any; not the clients remembered.
    pub(crate) elements: BTreeMap<String, BTreeMap<Attributes, usize>>,
    chains: BTreeMap<String, Attributes>,
    /// Rules in order, by family.
    rules: BTreeMap<&'static str, Vec<Attributes>>,
}

impl Dump {
    /// Reads the tables of this thread's network namespace.
    pub(crate) fn read() -> Self {
        let socket = Socket::open();
        let mut dump = Self::default();
        for (family, word) in FAMILIES {
            // Set: name is 2, handle 16, number of elements 20, which counts clients remembered too.
            // Chain: name 3, handle 2, use 6, counters 8.
            for set in socket.dump(family, GET_SETS, &[]) {
                let name = text(&set[&2]);
                let elements = socket.dump(family, GET_ELEMENTS, set[&2].as_slice());
                dump.add_elements(&format!("{word} {name}"), elements);
                dump.sets.insert(format!("{word} {name}"), without(set, &[16, 20]));
            }
            for chain in socket.dump(family, GET_CHAINS, &[]) {
                let name = format!("{word} {}", text(&chain[&3]));
                dump.chains.insert(name, without(chain, &[2, 6, 8]));
            }
            // Rule: handle 3, position 6.
            let rules = socket.dump(family, GET_RULES, &[]).into_iter();
            dump.rules.insert(word, rules.map(|rule| without(rule, &[3, 6])).collect());
        }
        dump.forget_slots();
        dump
    }

    /// Takes in what the kernel says of the set `name`.
    fn add_elements(&mut self, name: &str, messages: Vec<Attributes>) {
        // Who is remembered depends on the packets that came.
        if name.ends_with(" affinity") {
            return;
        }
        // A list is 3, its elements have no number of their own. Element: counter 7.
        for list in messages.iter().filter_map(|message| message.get(&3)) {
            for (_, element) in attributes(list) {
                let element = without(attributes(element).map(owned).collect(), &[7]);
                *self.elements.entry(name.to_owned()).or_default().entry(element).or_default() += 1;
            }
        }
    }

    /// Takes the slots of endpoints that are drawn at random out of the keys.
    fn forget_slots(&mut self) {
        for (_, word) in FAMILIES {
            for (bank, hashed) in [("backends", "hashed"), ("local-backends", "local-hashed")] {
                let keys: BTreeSet<Vec<u8>> = self
                    .elements
                    .get(&format!("{word} {hashed}"))
                    .map(|elements| elements.keys().map(key).collect())
                    .unwrap_or_default();
                let Some(elements) = self.elements.remove(&format!("{word} {bank}")) else {
                    continue;
                };
                let mut slotless: BTreeMap<Attributes, usize> = BTreeMap::new();
                for (mut element, count) in elements {
                    let mut frontend = key(&element);
                    frontend.truncate(frontend.len() - 4);
                    if !keys.contains(&frontend) {
                        element.insert(1, frontend);
                    }
                    *slotless.entry(element).or_default() += count;
                }
                self.elements.insert(format!("{word} {bank}"), slotless);
            }
        }
    }

    /// Whether both have the same elements, and the same rules where they have the same sets.
    ///
    /// A set for an affinity timeout that nobody uses any more stands, empty, until the table is next
    /// written whole.
    pub(crate) fn compare(&self, fresh: &Self) -> Result<(), String> {
        if let Some(lost) = fresh.sets.keys().find(|name| !self.sets.contains_key(*name)) {
            return Err(format!("the kernel lacks the set {lost}"));
        }
        let unused = |name: &&String| !fresh.sets.contains_key(*name);
        for name in self.sets.keys().filter(unused) {
            if !name.contains("affinity") || self.elements.contains_key(name) {
                return Err(format!("the kernel has the set {name} for nothing"));
            }
        }
        if self.elements != fresh.elements {
            let lines = |one: &Self, other: &Self| one.lines_not_in(other).join("\n  ");
            return Err(format!(
                "the kernel has\n  {}\nwhere a fresh write has\n  {}",
                lines(self, fresh),
                lines(fresh, self)
            ));
        }
        if self.sets.len() != fresh.sets.len() {
            return Ok(());
        }
        let Self { sets, elements: _, chains, rules } = self;
        same("declarations", sets, &fresh.sets)?;
        same("chains", chains, &fresh.chains)?;
        same("rules", rules, &fresh.rules)
    }

    fn lines_not_in(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, elements) in &self.elements {
            for (element, count) in elements {
                let there = other.elements.get(name).and_then(|elements| elements.get(element));
                if there != Some(count) {
                    lines.push(format!("{name}: {count} x {element:02x?}"));
                }
            }
        }
        lines
    }
}

/// Fails unless the two are equal.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, kernel: &T, fresh: &T) -> Result<(), String> {
    if kernel == fresh {
        return Ok(());
    }
    Err(format!("{what} of the kernel\n{kernel:02x?}\nand of a fresh write\n{fresh:02x?}"))
}

/// The key of an element: a nested attribute 1 with the bytes in another 1.
fn key(element: &Attributes) -> Vec<u8> {
    attributes(&element[&1]).next().map(|(_, value)| value.to_vec()).unwrap_or_default()
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).trim_end_matches('\0').to_owned()
}

fn owned((kind, value): (u16, &[u8])) -> (u16, Vec<u8>) {
    (kind, value.to_vec())
}

fn without(mut attributes: Attributes, numbers: &[u16]) -> Attributes {
    attributes.retain(|number, _| !numbers.contains(number));
    attributes
}

/// Number and value of each attribute.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let header = rest.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let number = u16::from_ne_bytes([header[2], header[3]]) & 0x3fff;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((number, value))
    })
}

/// An nfnetlink socket.
struct Socket(OwnedFd);

impl Socket {
    fn open() -> Self {
        let protocol = SockProtocol::NetlinkNetFilter;
        let flags = SockFlag::SOCK_CLOEXEC;
        Self(socket(AddressFamily::Netlink, SockType::Raw, flags, protocol).unwrap())
    }

    /// The attributes of every object that `command` asks for in our table of `family`.
    fn dump(&self, family: u8, command: u16, set: &[u8]) -> Vec<Attributes> {
        let mut request = vec![0; 4];
        // NFNL_SUBSYS_NFTABLES is 10; a request (1) for a dump (0x300).
        request.extend((10 << 8 | command).to_ne_bytes());
        request.extend(0x301_u16.to_ne_bytes());
        request.extend([0; 8]);
        request.extend([family, 0, 0, 0]);
        let names: &[(u16, &[u8])] =
            if set.is_empty() { &[(1, TABLE)] } else { &[(1, TABLE), (2, set)] };
        for (number, name) in names {
            request.extend(u16::try_from(name.len() + 4).unwrap().to_ne_bytes());
            request.extend(number.to_ne_bytes());
            request.extend_from_slice(name);
            request.resize(request.len().next_multiple_of(4), 0);
        }
        let length = u32::try_from(request.len()).unwrap();
        request[..4].copy_from_slice(&length.to_ne_bytes());
        let kernel = NetlinkAddr::new(0, 0);
        sendto(self.0.as_raw_fd(), &request, &kernel, MsgFlags::empty()).unwrap();
        self.answer()
    }

    fn answer(&self) -> Vec<Attributes> {
        let mut objects = Vec::new();
        let mut datagram = vec![0; 1 << 16];
        loop {
            let length = recv(self.0.as_raw_fd(), &mut datagram, MsgFlags::empty()).unwrap();
            let mut rest = &datagram[..length];
            while let Some(header) = rest.first_chunk::<8>() {
                let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
                let length = usize::try_from(length).unwrap();
                let kind = u16::from_ne_bytes([header[4], header[5]]);
                match kind {
                    DONE => return objects,
                    ERROR => panic!("the kernel does not dump: {:?}", &rest[16..20]),
                    // Behind the headers of netlink and of netfilter.
                    _ => objects.push(attributes(&rest[20..length]).map(owned).collect()),
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}
