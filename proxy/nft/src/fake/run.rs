//! A packet's way through the chains.

use std::net::{IpAddr, SocketAddr};

use podway_cluster_model::port::Protocol;
use podway_proxy_plan::interface::InterfaceName;
use podway_proxy_plan::plan::{Family, FrontendKey};

use crate::element::AffinityId;
use crate::fake::{ElementKey, FakeTable, From, Packet, Value};
use crate::names::{ChainName, SetName};
use crate::ruleset::{Chain, Condition, HookKind, HookPoint, Key, Rule, Statement, loopback};

/// A packet on its way.
pub(super) struct State {
    packet: Packet,
    mark: u32,
    /// The connection's mark.
    id: Option<AffinityId>,
    /// Endpoint it is sent to.
    pub(super) to: Option<SocketAddr>,
    pub(super) masqueraded: bool,
    /// Whether connection tracking does not see it.
    untracked: bool,
}

/// What a chain says of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// The next rule.
    Continue,
    /// Back to the caller.
    Return,
    /// Out of the hook.
    Accept,
    /// Gone.
    Drop,
    /// Gone, and the sender is told.
    Reject,
}

impl FakeTable {
    /// Chains of a hook in the order the kernel calls them.
    pub(super) fn base_chains(&self, point: HookPoint) -> Vec<&Chain> {
        let mut chains: Vec<_> = self
            .chains
            .values()
            .filter_map(|chain| Some((chain.hook.filter(|hook| hook.point == point)?, chain)))
            .collect();
        chains.sort_by_key(|(hook, _)| hook.priority);
        chains.into_iter().map(|(_, chain)| chain).collect()
    }

    pub(super) fn run(
        &self,
        chain: &Chain,
        state: &mut State,
        draw: &mut dyn FnMut(u32) -> u32,
    ) -> Flow {
        if state.untracked && chain.hook.is_some_and(|hook| hook.kind == HookKind::Nat) {
            return Flow::Return;
        }
        for rule in &chain.rules {
            match self.run_rule(rule, state, draw) {
                Flow::Continue => {}
                end @ (Flow::Return | Flow::Accept | Flow::Drop | Flow::Reject) => return end,
            }
        }
        Flow::Return
    }

    fn run_rule(&self, rule: &Rule, state: &mut State, draw: &mut dyn FnMut(u32) -> u32) -> Flow {
        if !rule.conditions.iter().all(|condition| self.holds(*condition, state)) {
            return Flow::Continue;
        }
        for statement in &rule.statements {
            let flow = match *statement {
                Statement::Jump(name) => match self.call(name, state, draw) {
                    Flow::Return => Flow::Continue,
                    end @ (Flow::Continue | Flow::Accept | Flow::Drop | Flow::Reject) => end,
                },
                Statement::Goto(name) => self.call(name, state, draw),
                Statement::Return => Flow::Return,
                Statement::Drop => Flow::Drop,
                Statement::Reject | Statement::Reset => Flow::Reject,
                Statement::Mark(bit) => {
                    state.mark |= bit;
                    Flow::Continue
                }
                Statement::Unmark(bit) => {
                    state.mark &= !bit;
                    Flow::Continue
                }
                Statement::Masquerade => {
                    state.masqueraded = true;
                    Flow::Accept
                }
                Statement::Translate(key, map) => match self.endpoint(key, map, state, draw) {
                    Some(endpoint) => {
                        state.to = Some(endpoint);
                        Flow::Accept
                    }
                    // A look-up that finds nothing ends the rule.
                    None => return Flow::Continue,
                },
                Statement::MarkConnection(map) => match self.number(map, state) {
                    Some(id) => {
                        state.id = Some(id);
                        Flow::Continue
                    }
                    None => return Flow::Continue,
                },
                Statement::UnmarkConnection => {
                    state.id = None;
                    Flow::Continue
                }
                // What packets teach is up to the kernel; tests put it in as elements.
                Statement::Learn { .. } | Statement::Remember { .. } => Flow::Continue,
                Statement::NoTrack => {
                    state.untracked = true;
                    Flow::Continue
                }
            };
            if flow != Flow::Continue {
                return flow;
            }
        }
        Flow::Continue
    }

    fn call(&self, name: ChainName, state: &mut State, draw: &mut dyn FnMut(u32) -> u32) -> Flow {
        self.chains.get(&name).map_or(Flow::Return, |chain| self.run(chain, state, draw))
    }

    fn endpoint(
        &self,
        key: Key,
        map: SetName,
        state: &State,
        draw: &mut dyn FnMut(u32) -> u32,
    ) -> Option<SocketAddr> {
        let key = match key {
            // Whatever an address hashes to: any number may come.
            Key::Slot { modulus } | Key::HashedSlot { modulus, .. } => {
                ElementKey::Slot(state.frontend(), u16::try_from(draw(modulus)).ok()?)
            }
            Key::Frontend
            | Key::FrontendAndSource
            | Key::Source
            | Key::Destination
            | Key::Hairpin
            | Key::ConnectionMark
            | Key::Reply
            | Key::Client => state.key(key)?,
        };
        match self.sets.get(&map)?.get(&key)? {
            Value::Endpoint(endpoint) => Some(*endpoint),
            Value::Nothing | Value::Number(_) => None,
        }
    }

    fn number(&self, map: SetName, state: &State) -> Option<AffinityId> {
        match self.sets.get(&map)?.get(&ElementKey::Frontend(state.frontend()))? {
            Value::Number(id) => Some(*id),
            Value::Nothing | Value::Endpoint(_) => None,
        }
    }

    fn holds(&self, condition: Condition, state: &State) -> bool {
        match condition {
            // Only first packets are sent here, and what nobody tracks is no connection's.
            Condition::NewConnection => !state.untracked,
            Condition::Tcp => state.packet.protocol == Protocol::Tcp,
            Condition::To(protocol, port) => {
                state.packet.protocol == protocol && state.packet.port.number() == port
            }
            // A client's own port is never one that a server has.
            Condition::From(..) | Condition::MidStream | Condition::Acknowledging => false,
            Condition::Original => true,
            Condition::FromLoopback => {
                let source = state.packet.source;
                source == loopback(Family::of(source))
            }
            Condition::Translated => state.to.is_some(),
            Condition::SourceTranslated => state.masqueraded,
            Condition::Udp => state.packet.protocol == Protocol::Udp,
            // What is sent to the node itself is of interest here only where it is a frontend, and
            // that is asked too.
            Condition::ToThisNode => false,
            Condition::Marked(bit) => state.mark & bit != 0,
            Condition::ConnectionMarked => state.id.is_some(),
            Condition::FromThisNode => state.packet.from == From::ThisNode,
            Condition::FromInterface(name) => state.packet.came_in_by(name),
            Condition::NotFromInterface(name) => !state.packet.came_in_by(name),
            Condition::In(key, set) => self.contains(key, set, state),
            Condition::NotIn(key, set) => !self.contains(key, set, state),
        }
    }

    fn contains(&self, key: Key, set: SetName, state: &State) -> bool {
        let Some(elements) = self.sets.get(&set) else { return false };
        let destination = state.to.map_or(state.packet.destination, |to| to.ip());
        let in_range = |address: IpAddr| {
            elements
                .keys()
                .any(|key| matches!(key, ElementKey::Range(range) if range.contains(&address)))
        };
        match key {
            Key::Hairpin => state.to.is_some_and(|to| {
                to.ip() == state.packet.source
                    && elements.contains_key(&ElementKey::Endpoint(to, state.packet.protocol))
            }),
            Key::Source => {
                let source = state.packet.source;
                elements.contains_key(&ElementKey::Address(source)) || in_range(source)
            }
            Key::Destination => {
                elements.contains_key(&ElementKey::Address(destination)) || in_range(destination)
            }
            Key::FrontendAndSource => elements.keys().any(|key| {
                matches!(key, ElementKey::Source(frontend, range)
                    if *frontend == state.frontend() && range.contains(&state.packet.source))
            }),
            Key::Frontend
            | Key::Slot { .. }
            | Key::HashedSlot { .. }
            | Key::ConnectionMark
            | Key::Reply
            | Key::Client => state.key(key).is_some_and(|key| elements.contains_key(&key)),
        }
    }
}

impl Packet {
    fn came_in_by(&self, name: InterfaceName) -> bool {
        match (self.from, self.interface) {
            (From::Elsewhere, Some(interface)) if name.is_prefix() => {
                interface.as_str().starts_with(name.as_str())
            }
            (From::Elsewhere, Some(interface)) => interface == name,
            // What was made here came in nowhere.
            (From::ThisNode, _) | (From::Elsewhere, None) => false,
        }
    }
}

impl State {
    pub(super) fn new(packet: Packet) -> Self {
        Self { packet, mark: 0, id: None, to: None, masqueraded: false, untracked: false }
    }

    fn frontend(&self) -> FrontendKey {
        let Packet { destination, protocol, port, .. } = self.packet;
        FrontendKey { address: destination, protocol, port }
    }

    /// The packet's key where it is one whole; `None` for a range, a number drawn or no mark.
    fn key(&self, key: Key) -> Option<ElementKey> {
        match key {
            Key::Frontend => Some(ElementKey::Frontend(self.frontend())),
            Key::ConnectionMark => self.id.map(ElementKey::Number),
            Key::Client => {
                let Packet { source, protocol, .. } = self.packet;
                self.id.map(|id| ElementKey::Client(source, protocol, id))
            }
            Key::Slot { .. }
            | Key::HashedSlot { .. }
            | Key::FrontendAndSource
            | Key::Reply
            | Key::Source
            | Key::Destination
            | Key::Hairpin => None,
        }
    }
}
