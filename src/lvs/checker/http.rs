//! `HTTP_GET` and `SSL_GET`: a web page with the right status, digest and text is health.

mod reply;
pub(crate) mod rows;
pub(crate) mod tls;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, timeout};

use self::reply::Reply;
pub(super) use self::reply::{header_end, length_of};
use super::connect::{Connect, errno};
use super::{Down, Good, Local, Step, Tools};

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

impl Url {
    /// This path, with the defaults for everything else.
    pub(crate) fn new(path: &str) -> Self {
        Self {
            path: path.into(),
            host: None,
            sni: None,
            digests: Vec::new(),
            status: vec![200..=299],
            regex: None,
            tls_compliant: false,
        }
    }
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

/// What a page was judged by last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    Status,
    Digest,
    Regex,
}

/// `Content-Length`, and what came instead, octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) told: u64,
    pub(crate) came: u64,
}

/// Why a page is not good, or could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// No handshake.
    Tls,
    /// No connection, or no handshake, in time.
    TlsTimeout,
    Send,
    ReadTimeout,
    Read(Errno),
    /// No header, or one without a status.
    NoData,
    Status(u16),
    Digest,
    Regex,
}

/// Octets per read.
pub(super) const READ: usize = 16 * 1024;
/// The longest request.
const MAX_REQUEST: usize = 2047;

/// Which steps the patience is for.
#[derive(Clone, Copy, Debug)]
enum Limit {
    /// Each read has it anew.
    PerRead(Duration),
    /// Request and reply together.
    Until(Instant),
}

impl Http {
    pub(super) async fn probe(
        &self,
        connect: &Connect,
        patience: Duration,
        page: usize,
        tools: &Tools,
    ) -> Result<Good, Down> {
        let Some(url) = self.urls.get(page) else {
            return Ok(Good::Plain);
        };
        let request = self.request(url, connect.target);
        // One timer for all steps: moving one costs less than making another.
        let mut time = pin!(sleep(patience));
        let judged = match &self.tls {
            None => {
                let connected = within(time.as_mut(), connect.tcp(&tools.swarm)).await;
                let mut stream = connected.ok_or(Down::Timeout)??;
                let limit = Limit::PerRead(patience);
                exchange(&mut stream, &request, url, (limit, time), tools).await?
            }
            Some(tls) => {
                let context = tools.tls.of(&tls.identity).ok_or(Down::Local(Local {
                    step: Step::Tls,
                    errno: Errno::ENOENT,
                }))?;
                let connected = within(time.as_mut(), connect.tcp(&tools.swarm)).await;
                let stream = connected.ok_or(Down::Timeout)??;
                let shaken = tls::connect(&context, url.sni.as_deref(), stream);
                let shaken = within(time.as_mut(), shaken).await;
                let shaken = shaken.ok_or(Down::Http(Bad::TlsTimeout))?;
                let mut stream = shaken.map_err(|()| Down::Http(Bad::Tls))?;
                let limit = Limit::Until(Instant::now() + patience);
                let found = exchange(&mut stream, &request, url, (limit, time), tools).await?;
                if url.tls_compliant {
                    // Only a courtesy: whatever comes of it, the page is judged already.
                    _ = timeout(patience, Pin::new(&mut stream).shutdown()).await;
                }
                found
            }
        };
        judged.map_err(Down::Http)
    }

    /// Octet for octet what keepalived sends.
    pub(super) fn request(&self, url: &Url, target: SocketAddr) -> Vec<u8> {
        let (version, close) = match self.protocol {
            Protocol::V10 => ("1.0", ""),
            Protocol::V10Close => ("1.0", "Connection: close\r\n"),
            Protocol::V11 => ("1.1", "Connection: close\r\n"),
        };
        let host = match &url.host {
            Some(host) => host.to_string(),
            None => target.to_string(),
        };
        let mut text = format!(
            "GET {} HTTP/{version}\r\nUser-Agent: KeepAliveClient\r\n{close}Host: {host}\r\n\r\n",
            url.path
        )
        .into_bytes();
        text.truncate(MAX_REQUEST);
        text
    }
}

/// Sends the request and reads until the other side closes.
async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &[u8],
    url: &Url,
    (limit, mut time): (Limit, Pin<&mut Sleep>),
    tools: &Tools,
) -> Result<Result<Good, Bad>, Down> {
    let deadline = |limit| match limit {
        Limit::PerRead(patience) => Instant::now() + patience,
        Limit::Until(at) => at,
    };
    time.as_mut().reset(deadline(limit));
    let sent = within(time.as_mut(), stream.write_all(request)).await;
    if !matches!(sent, Some(Ok(()))) {
        return Err(Down::Http(Bad::Send));
    }
    let mut reply = Reply::new(url);
    loop {
        if let Limit::PerRead(_) = limit {
            time.as_mut().reset(deadline(limit));
        }
        match within(time.as_mut(), read(stream, &mut reply, tools)).await {
            Some(Ok(Came::Some)) => {}
            Some(Ok(Came::End)) => {
                // keepalived: of a page that is bad the length is not told.
                let judged = reply.judge();
                return Ok(judged.map(|(by, lengths)| Good::Page(by, lengths)));
            }
            Some(Ok(Came::TooMuch)) => return Err(Down::Http(Bad::NoData)),
            Some(Err(e)) => return Err(Down::Http(Bad::Read(errno(&e)))),
            None => return Err(Down::Http(Bad::ReadTimeout)),
        }
    }
}

/// What comes of `work`; `None`: the time is over before.
async fn within<T>(time: Pin<&mut Sleep>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = time => None,
    }
}

/// The outcome of one read.
enum Came {
    Some,
    End,
    /// There is no room for a header as long as this one.
    TooMuch,
}

/// The room to read into is that of all attempts together: nobody keeps it while he waits.
async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    reply: &mut Reply<'_>,
    tools: &Tools,
) -> io::Result<Came> {
    poll_fn(|cx| {
        let mut room = tools.room.borrow_mut();
        let most = reply.room(room.len());
        let Some(room) = room.get_mut(..most).filter(|r| !r.is_empty()) else {
            return Poll::Ready(Ok(Came::TooMuch));
        };
        let mut some = ReadBuf::new(room);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut some))?;
        let came = some.filled();
        reply.take(came);
        Poll::Ready(Ok(match came {
            [] => Came::End,
            _ => Came::Some,
        }))
    })
    .await
}

#[cfg(test)]
mod tests;
