//! DNS as the daemon runs it: from a Corefile, followed as it changes.
//!
//! Without a Corefile there is a built-in one, so that there is one way only. A Corefile is read,
//! checked and made ready before anything changes; one with mistakes leaves the running one alone.

mod built_in;
mod files;
mod http;
mod load;
mod overload;
mod reload;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use podway_dns_server::{Control, Server};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tracing::info;

pub(crate) use self::built_in::{Autopath, built_in};
pub(crate) use self::files::Files;
use self::http::Pages;
use self::load::{Loaded, Loader};
use self::overload::Overload;
use self::reload::Reloads;
use crate::admin::Admin;
use crate::config::DnsConfig;
use crate::names::Names;
use crate::node_local::NodeLocalConfig;

/// DNS, its sockets open.
pub(crate) struct Dns {
    server: Server,
    loader: Loader,
    loaded: Loaded,
    reloads: Reloads,
    overload: Overload,
}

impl Dns {
    /// Reads the Corefile and opens the sockets.
    ///
    /// # Errors
    /// Every mistake in the Corefile, or the addresses that cannot be listened on.
    pub(crate) fn open(
        config: DnsConfig,
        node_local: NodeLocalConfig,
        names: Arc<Names>,
    ) -> anyhow::Result<Self> {
        let clients = config.clients;
        let loader = Loader::new(config, node_local, names);
        let loaded = loader.load(None)?;
        loaded.tell();
        let blueprint = loaded.blueprint.clone();
        let server = Server::bind_blueprint(blueprint, clients, loader.metrics().clone())
            .map_err(|error| loader.explain(error))?;
        for address in server.local_addrs() {
            info!(flag = "--dns-listen", %address, "listening");
        }
        let reloads = Reloads::default();
        reloads.done(&loaded.hash);
        Ok(Self { server, loader, loaded, reloads, overload: Overload::default() })
    }

    /// Makes what is counted visible in `registry`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        self.loader.metrics().register(registry);
        self.reloads.register(registry);
        self.overload.register(registry);
    }

    /// A way to change where and whom the server answers.
    pub(crate) fn control(&self) -> Control {
        self.server.control()
    }

    /// How long names are still to be answered after the order to stop.
    pub(crate) fn lameduck(&self) -> watch::Receiver<Duration> {
        self.reloads.lameduck()
    }

    /// Answers, and follows the Corefile, until `stop` says so.
    ///
    /// # Errors
    /// A socket could not be used.
    pub(crate) async fn run(
        self,
        admin: Arc<Admin>,
        mut stop: watch::Receiver<bool>,
    ) -> io::Result<()> {
        let Self { server, loader, loaded, reloads, overload } = self;
        let control = server.control();
        let pages = Pages::new(admin, overload);
        reloads.lameduck_is(&loaded.config);
        let follow = reload::follow(loader, loaded, (control, pages), reloads);
        let shutdown = async move { drop(stop.wait_for(|stop| *stop).await) };
        tokio::select! {
            outcome = server.run(shutdown) => outcome,
            () = follow => Ok(()),
        }
    }
}
