//! What `check` works on: files that were read, and findings about them.

use crate::config::source::{Code, Diag, Span, Weight};
use crate::config::{LoadOptions, Loaded};

/// A configuration of the command line, as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Its place among the files of the command line, from 0.
    pub(crate) number: usize,
    /// As it was written on the command line.
    pub(crate) name: String,
    /// How it was read.
    pub(crate) options: LoadOptions,
    /// Model, statements and files; places in it are places of this node only.
    pub(crate) loaded: Loaded,
}

impl Node {
    /// A finding of `check` about this node; `span`: the statement that the operator would change.
    pub(crate) fn finding(
        &self,
        code: Code,
        span: Option<Span>,
        text: impl Into<String>,
    ) -> Finding {
        Finding {
            node: self.number,
            diag: match span {
                Some(span) => Diag::at(span, code, text),
                None => Diag::bare(None, code, text),
            },
            related: Vec::new(),
            notes: Vec::new(),
            pinned: false,
        }
    }
}

/// Something to tell the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// [`Node::number`] of the node it is about.
    pub(crate) node: usize,
    pub(crate) diag: Diag,
    /// Other places that matter, in the order in which to show them.
    pub(crate) related: Vec<Related>,
    /// The place is probable, not where keepalived noticed the mistake.
    pub(crate) pinned: bool,
    /// More that is worth knowing, a sentence each.
    pub(crate) notes: Vec<String>,
}

/// Another place that matters for a finding; it may be in another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Related {
    pub(crate) node: usize,
    pub(crate) span: Span,
    /// What is there, in a few words.
    pub(crate) text: String,
}

impl Finding {
    /// The same with another place.
    pub(crate) fn with(mut self, node: &Node, span: Span, text: impl Into<String>) -> Self {
        self.related.push(Related {
            node: node.number,
            span,
            text: text.into(),
        });
        self
    }

    /// How much it matters.
    pub(crate) fn severity(&self) -> Severity {
        Severity::of(&self.diag)
    }
}

/// How much a finding matters; decides the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Severity {
    /// Worth knowing: exit status 0.
    Note,
    /// What is written takes effect, but perhaps not as meant: exit status 1.
    Warning,
    /// A statement, a block or the whole configuration is lost: exit status 2.
    Error,
}

impl Severity {
    /// Follows from the weight; a complaint about something that takes effect all the same is a warning.
    fn of(diag: &Diag) -> Self {
        match diag.weight {
            Weight::Note => Self::Note,
            Weight::Lint | Weight::Printed | Weight::Log => Self::Warning,
            Weight::Complaint if MENDED.contains(&diag.code) => Self::Warning,
            Weight::Namespace
            | Weight::NoFile
            | Weight::Fatal
            | Weight::Complaint
            | Weight::Unusable
            | Weight::Security
            | Weight::Missing
            | Weight::Include => Self::Error,
        }
    }

    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// The exit status when this is the worst.
    pub(crate) fn exit(self) -> u8 {
        match self {
            Self::Note => 0,
            Self::Warning => 1,
            Self::Error => 2,
        }
    }
}

/// Complaints after which the statement does what it says, or something near.
const MENDED: &[Code] = &[
    Code::SeveralFiles,
    Code::Deprecated,
    Code::Rounded,
    Code::Useless,
    Code::Defaulted,
    Code::SmallGroup,
    Code::ExtraArgument,
];
