//! The plan as a table for people: one row for each frontend and endpoint.

use std::borrow::Cow;
use std::io::{self, Write};

use podway_ebpf_backend::carry::{Site, carrier};
use podway_proxy_plan::plan::{Action, Backend, Frontend, Place, Pool, PortPlan};
use podway_proxy_plan::planner::Planner;

/// Headings of the columns; the last one is there only where eBPF was asked for.
const HEADINGS: [&str; 7] =
    ["SERVICE", "PORT", "FRONTEND", "FROM", "ACTION", "ENDPOINT", "CARRIED BY"];

/// Spaces between two columns.
const GAP: usize = 2;

/// One row of cells.
type Row = [Cow<'static, str>; 7];

/// Writes the plans of `planner`; with `carriers`, who carries each frontend.
pub(super) fn write(
    out: &mut impl Write,
    planner: &Planner,
    carriers: Option<&Site>,
) -> io::Result<()> {
    let mut rows = vec![HEADINGS.map(Cow::Borrowed)];
    if carriers.is_none() {
        rows[0][6] = Cow::Borrowed("");
    }
    for plan in planner.plans() {
        for port in &plan.ports {
            for frontend in &port.frontends {
                let first = rows.len();
                push(&mut rows, &plan.name.to_string(), port, frontend);
                if let Some(site) = carriers {
                    rows[first][6] =
                        Cow::Owned(carrier(&plan.name, port, frontend, site).to_string());
                }
            }
        }
    }
    let width =
        |column: usize| rows.iter().map(|row: &Row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    for row in &rows {
        let line: String = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}", width = width + GAP))
            .collect();
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Appends the rows of one frontend: the first names it, the others only further endpoints.
fn push(rows: &mut Vec<Row>, service: &str, port: &PortPlan, frontend: &Frontend) {
    let mut endpoints = endpoints(port, frontend).into_iter();
    let first = endpoints.next().unwrap_or_default();
    rows.push(
        [
            service.to_owned(),
            port.name.to_string(),
            frontend.key.to_string(),
            frontend.origin.to_string(),
            frontend.action.to_string(),
            first,
            String::new(),
        ]
        .map(Cow::Owned),
    );
    rows.extend(endpoints.map(|endpoint| {
        let mut row = Row::default();
        row[5] = Cow::Owned(endpoint);
        row
    }));
}

/// The endpoints that may serve at `frontend`, each marked with what is special about it.
fn endpoints(port: &PortPlan, frontend: &Frontend) -> Vec<String> {
    match frontend.action {
        Action::Reject | Action::Drop => Vec::new(),
        Action::Balance { pool, .. } => port.pool(pool).iter().map(endpoint).collect(),
        Action::PreserveSource => {
            let outside = port.pool(Pool::Local).iter().map(endpoint);
            let inside = port.pool(Pool::Cluster).iter().map(endpoint);
            let outside = outside.map(|text| format!("{text}, for clients outside"));
            outside.chain(inside.map(|text| format!("{text}, for pods and node"))).collect()
        }
    }
}

fn endpoint(backend: &Backend) -> String {
    match backend.place {
        Place::Here => format!("{} here", backend.address),
        Place::Elsewhere => backend.address.to_string(),
    }
}
