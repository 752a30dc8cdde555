//! `HTTP_GET` and `SSL_GET`: a web page with the right status, digest and text is health.

pub(crate) mod rows;

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::model::global::Ssl;

/// Options of `HTTP_GET` and `SSL_GET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Http {
    /// `SSL_GET`.
    pub(crate) tls: Option<Tls>,
    /// `http_protocol`, default 1.0.
    pub(crate) protocol: Protocol,
    /// `url`, in file order, at least one.
    pub(crate) urls: Vec<Url>,
    /// `fast_recovery`: no delay between the pages until all were good.
    pub(crate) fast_recovery: bool,
}

/// What `SSL_GET` needs more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    /// The `SSL` block.
    pub(crate) identity: Arc<Ssl>,
}

/// `http_protocol`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// `1.0`.
    #[default]
    V10,
    /// `1.0C`: with `Connection: close`.
    V10Close,
    /// `1.1`, with `Connection: close`.
    V11,
}

/// One `url`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// `path`, as it is sent.
    pub(crate) path: Arc<str>,
    /// `virtualhost` of the url, the checker, the real server or the virtual server; default address and port.
    pub(crate) host: Option<Arc<str>>,
    /// `sni_name`, or with `enable_sni` the `virtualhost`; default none.
    pub(crate) sni: Option<Arc<str>>,
    /// `digest`: one of these MD5 sums of the body; none: any body.
    pub(crate) digests: Vec<[u8; 16]>,
    /// `status_code`, 100..=599, default 200..=299.
    pub(crate) status: Vec<RangeInclusive<u16>>,
    pub(crate) regex: Option<Regex>,
    /// `tls_compliant`: the end of a connection is announced.
    pub(crate) tls_compliant: bool,
}

/// `regex` and the options that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Regex {
    /// As PCRE2 understands it.
    pub(crate) pattern: Arc<str>,
    /// `regex_options`.
    pub(crate) options: RegexOptions,
    /// `regex_no_match`: a match is a failure.
    pub(crate) no_match: bool,
    /// `regex_min_offset`: where the match may begin at the earliest, octets, default 0.
    pub(crate) min_offset: usize,
    /// `regex_max_offset`: and at the latest, default anywhere.
    pub(crate) max_offset: Option<usize>,
    /// `regex_stack`: first and largest size of the matcher's stack in octets, default the library's.
    pub(crate) stack: Option<(u32, u32)>,
}

/// Bits of `pcre2_compile`, pcre2api(3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RegexOptions(pub(crate) u32);

impl RegexOptions {
    /// The words of `regex_options` with the library's bits (pcre2.h).
    pub(crate) const WORDS: [(&'static str, u32); 24] = [
        ("allow_empty_class", 0x0000_0001),
        ("alt_bsux", 0x0000_0002),
        ("auto_callout", 0x0000_0004),
        ("caseless", 0x0000_0008),
        ("dollar_endonly", 0x0000_0010),
        ("dotall", 0x0000_0020),
        ("dupnames", 0x0000_0040),
        ("extended", 0x0000_0080),
        ("firstline", 0x0000_0100),
        ("match_unset_backref", 0x0000_0200),
        ("multiline", 0x0000_0400),
        ("never_ucp", 0x0000_0800),
        ("never_utf", 0x0000_1000),
        ("no_auto_capture", 0x0000_2000),
        ("no_auto_possess", 0x0000_4000),
        ("no_dotstar_anchor", 0x0000_8000),
        ("no_start_optimize", 0x0001_0000),
        ("ucp", 0x0002_0000),
        ("ungreedy", 0x0004_0000),
        ("utf", 0x0008_0000),
        ("never_backslash_c", 0x0010_0000),
        ("alt_circumflex", 0x0020_0000),
        ("alt_verbnames", 0x0040_0000),
        ("use_offset_limit", 0x0080_0000),
    ];
}
