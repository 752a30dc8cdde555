//! One run of the command: read, look, say.

use std::io::{self, IsTerminal as _, Write};

use super::cluster::{self, Elsewhere};
use super::diff;
use super::effective::{self, Secrets};
use super::finding::{Finding, Node, Severity};
use super::lint::LINTS;
use super::places::Places;
use super::render::{Excerpts, Style};
use super::{explain, json, locate, migrate, own, render};
use crate::cli::check::{CheckOptions, Color, Format, Mode};
use crate::config::source::Span;
use crate::config::{self, LoadOptions};
use crate::daemon::host::Machine;
use crate::sys::netns;

/// Exit status when nothing could be checked: a wrong option, no such network namespace, no such code.
pub(crate) const NOTHING_CHECKED: u8 = 3;

/// Returns the exit status: that of the worst finding, or [`NOTHING_CHECKED`].
pub(crate) fn run(options: &CheckOptions) -> u8 {
    match &options.mode {
        Mode::Explain(code) => explain::run(code),
        Mode::Migrate => migrate::run(options),
        Mode::Effective { show_secrets } => match read(options) {
            Ok((nodes, host)) => effective::run(&nodes, &host, Secrets::of(*show_secrets)),
            Err(why) => {
                complain(&why);
                NOTHING_CHECKED
            }
        },
        Mode::Cluster => match read(options) {
            Ok((nodes, host)) => {
                // What only concerns one node is what the plain command is for, unless something is lost.
                let elsewhere = Elsewhere(&host);
                let own = nodes.iter().flat_map(|n| own::found(n, &elsewhere));
                let mut found: Vec<Finding> = own.collect();
                found.retain(|f| f.severity() == Severity::Error);
                let places = nodes.iter().map(|n| Places::new(n, &elsewhere));
                found.extend(cluster::findings(&places.collect::<Vec<_>>()));
                say(options, &nodes, &host, found)
            }
            Err(why) => {
                complain(&why);
                NOTHING_CHECKED
            }
        },
        Mode::Diff => match read(options) {
            Ok((nodes, host)) => diff::run(&nodes, &host),
            Err(why) => {
                complain(&why);
                NOTHING_CHECKED
            }
        },
        Mode::Findings => match read(options) {
            Ok((nodes, host)) => {
                let mut found: Vec<Finding> =
                    nodes.iter().flat_map(|n| own::found(n, &host)).collect();
                for node in &nodes {
                    let places = Places::new(node, &host);
                    LINTS.iter().for_each(|lint| lint(&places, &mut found));
                }
                say(options, &nodes, &host, found)
            }
            Err(why) => {
                complain(&why);
                NOTHING_CHECKED
            }
        },
    }
}

/// Reads the files of the command line, each as if the daemon were started with it.
///
/// # Errors
/// What to tell when the machine cannot be looked at.
pub(super) fn read(options: &CheckOptions) -> Result<(Vec<Node>, Machine), String> {
    if let Some(name) = &options.namespace {
        netns::enter(name).map_err(|e| format!("{e}\nUnable to set network namespace {name}"))?;
    }
    let mut nodes = Vec::new();
    for (number, path) in options.files.iter().enumerate() {
        // A configuration may enter a namespace of its own, so each file looks anew.
        let host = snapshot()?;
        let loading = LoadOptions {
            path: path.clone(),
            config_id: options.config_id.clone(),
            in_namespace: options.namespace.is_some(),
            strict_includes: options.strict_includes,
        };
        nodes.push(Node {
            number,
            name: path.clone(),
            loaded: match options.mode {
                Mode::Cluster => config::load(&loading, &Elsewhere(&host)),
                Mode::Findings
                | Mode::Explain(_)
                | Mode::Effective { .. }
                | Mode::Diff
                | Mode::Migrate => config::load(&loading, &host),
            },
            options: loading,
        });
    }
    Ok((nodes, snapshot()?))
}

fn snapshot() -> Result<Machine, String> {
    Machine::snapshot().map_err(|e| format!("Unable to list the network interfaces: {e}"))
}

/// What was found while reading, where keepalived noticed it; [`own::found`] also looks for the places of braces.
pub(super) fn own(nodes: &[Node]) -> Vec<Finding> {
    let of = |node: &Node| -> Vec<Finding> {
        let diags = node.loaded.diags.iter().filter(|d| !own::twice(d));
        diags.map(|d| own::plain(node, d)).collect()
    };
    nodes.iter().flat_map(of).collect()
}

/// Writes findings by node and place to standard output. Returns the exit status of the worst.
pub(super) fn say(
    options: &CheckOptions,
    nodes: &[Node],
    host: &Machine,
    mut found: Vec<Finding>,
) -> u8 {
    found.sort_by_key(|f| {
        let place = f.diag.span.map(Span::order);
        (f.node, place.is_none(), place)
    });
    locate::explain(nodes, &mut found);
    let excerpts = Excerpts::of(nodes, &found, host);
    let mut out = io::BufWriter::new(io::stdout().lock());
    // Standard output may be closed; the exit status says the rest.
    _ = match options.format {
        Format::Json => json::write(&mut out, nodes, &found, &excerpts),
        Format::Text => {
            let style = Style::of(options.color, io::stdout().is_terminal());
            render::write(&mut out, nodes, &found, &excerpts, style)
        }
    };
    _ = out.flush();
    let worst = found.iter().map(Finding::severity).max();
    worst.map_or(0, Severity::exit)
}

impl Style {
    /// For standard error that is a terminal.
    pub(super) fn of_terminal() -> Self {
        Self::of(Color::Auto, true)
    }

    /// `terminal`: whether the text goes to one.
    fn of(color: Color, terminal: bool) -> Self {
        let wanted = || {
            let dumb = std::env::var_os("TERM").is_none_or(|t| t == "dumb");
            let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
            terminal && !dumb && !refused
        };
        match color {
            Color::Always => Self::Coloured,
            Color::Never => Self::Plain,
            Color::Auto if wanted() => Self::Coloured,
            Color::Auto => Self::Plain,
        }
    }
}

/// Text on standard output, which may be closed.
pub(super) fn print(text: &str) {
    _ = io::stdout().write_all(text.as_bytes());
}

/// A line on standard error, which may be closed.
pub(super) fn complain(line: &str) {
    _ = writeln!(io::stderr(), "{line}");
}
