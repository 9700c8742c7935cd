//! The requests that list and watch: paths and queries, nothing else.

use form_urlencoded::Serializer;
use podway_cluster_model::name::NodeName;

use crate::rejection::ObjectKind;

use super::kind::field_selector;

/// Most objects in one page of a list.
///
/// 250: a page of the largest slices (100 endpoints, some 300 bytes each) is 8 MB of JSON, and a
/// cluster of 10,000 Services is 40 pages.
const PAGE_OBJECTS: u32 = 250;

/// What is asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Query<'a> {
    /// A page of the list: the first, or the one that `token` stands for.
    Page {
        /// What the page before ended with.
        token: Option<&'a str>,
    },
    /// All objects as events, and then every change.
    ListAndWatch {
        /// How long the server may go on.
        seconds: u64,
    },
    /// Every change after `version`.
    Watch {
        /// The resource version that is known.
        version: &'a str,
        /// How long the server may go on.
        seconds: u64,
    },
}

/// Path and query that ask at `path` for `kind` on behalf of `node`.
pub(super) fn path(path: &str, kind: ObjectKind, node: &NodeName, query: Query<'_>) -> String {
    let mut pairs = Serializer::new(format!("{path}?"));
    pairs_of(&mut pairs, query);
    if let Some(selector) = field_selector(kind, node) {
        pairs.append_pair("fieldSelector", &selector);
    }
    pairs.finish().replacen("?&", "?", 1)
}

fn pairs_of(pairs: &mut Serializer<'_, String>, query: Query<'_>) {
    match query {
        Query::Page { token } => {
            pairs.append_pair("limit", &PAGE_OBJECTS.to_string());
            if let Some(token) = token {
                pairs.append_pair("continue", token);
            }
        }
        Query::ListAndWatch { seconds } => {
            pairs
                .append_pair("watch", "true")
                .append_pair("sendInitialEvents", "true")
                .append_pair("resourceVersionMatch", "NotOlderThan")
                .append_pair("allowWatchBookmarks", "true")
                .append_pair("timeoutSeconds", &seconds.to_string());
        }
        Query::Watch { version, seconds } => {
            pairs
                .append_pair("watch", "true")
                .append_pair("resourceVersion", version)
                .append_pair("allowWatchBookmarks", "true")
                .append_pair("timeoutSeconds", &seconds.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::resource;
    use super::*;

    fn asked(kind: ObjectKind, query: Query<'_>) -> String {
        path(resource(kind).path, kind, &NodeName::new("node-1").unwrap(), query)
    }

    #[test]
    fn only_this_nodes_node_and_pods_are_asked_for() {
        assert_eq!(
            asked(ObjectKind::Pod, Query::Page { token: None }),
            "/api/v1/pods?limit=250&fieldSelector=spec.nodeName%3Dnode-1"
        );
        assert_eq!(
            asked(ObjectKind::Node, Query::Watch { version: "7", seconds: 300 }),
            "/api/v1/nodes?watch=true&resourceVersion=7&allowWatchBookmarks=true\
             &timeoutSeconds=300&fieldSelector=metadata.name%3Dnode-1"
        );
        assert_eq!(
            asked(ObjectKind::Service, Query::Page { token: Some("a+b=") }),
            "/api/v1/services?limit=250&continue=a%2Bb%3D"
        );
    }

    #[test]
    fn a_streamed_list_is_the_newest_and_says_where_it_ends() {
        assert_eq!(
            asked(ObjectKind::EndpointSlice, Query::ListAndWatch { seconds: 400 }),
            "/apis/discovery.k8s.io/v1/endpointslices?watch=true&sendInitialEvents=true\
             &resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=400"
        );
    }
}
