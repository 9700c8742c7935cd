//! Who the daemon is to the API server: tokens, certificates, rights.

use podway_tests_conformance::{in_api_lab, kubectl, web, web_routes};
use podway_tests_lab::{Component, ComponentAction};
use podway_tests_netns::all_reach;

#[test]
fn a_token_and_a_certificate_that_are_replaced_are_taken_without_a_restart() {
    in_api_lab(web(), |cluster| {
        let routes = web_routes(cluster)?;
        all_reach(&routes, &["web-1", "web-2"])?;
        // The old token is worth nothing any more; connections end with the API server.
        cluster.rotate_token()?;
        cluster.control_plane(Component::ApiServer, ComponentAction::Kill)?;
        cluster.start_api_server()?;
        cluster.unready("web-2")?;
        all_reach(&routes, &["web-1"])?;
        // Another certificate of the same authority, and again new connections.
        cluster.rotate_certificate()?;
        cluster.control_plane(Component::ApiServer, ComponentAction::Stop)?;
        cluster.start_api_server()?;
        cluster.ready("web-2")?;
        all_reach(&routes, &["web-1", "web-2"])
    });
}

#[test]
fn a_right_that_is_missing_is_named() {
    in_api_lab(web(), |cluster| {
        all_reach(&web_routes(cluster)?, &["web-1", "web-2"])?;
        let patch = "[{\"op\": \"remove\", \"path\": \"/rules/1\"}]";
        kubectl(cluster, &["patch", "clusterrole", "podway", "--type=json", "-p", patch])?;
        // What it may not watch is asked for again when its connections end.
        cluster.control_plane(Component::ApiServer, ComponentAction::Kill)?;
        cluster.start_api_server()?;
        cluster.logged(1, &["endpointslices", "forbidden"])?;
        // Traffic goes on as before.
        all_reach(&web_routes(cluster)?, &["web-1", "web-2"])
    });
}
