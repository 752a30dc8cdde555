//! `genhash`: fetches a page as `HTTP_GET` or `SSL_GET` do, and shows its digest for `digest`.
//!
//! A failed connection is told on standard output and is no error, as with keepalived. Source: keepalived's behaviour,
//! genhash(1).

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use md5::{Digest as _, Md5};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::Tools;
use super::connect::Connect;
use super::http::{Http, Protocol, Tls, Url, header_end, length_of, tls};

/// Behind the name of the program.
const USAGE: &str = " COMMAND [OPTIONS]
Commands:
   -s server-address -p port -u url
   -S -s server-address -p port -u url
   -h

Options:
Either long or short options are allowed.
   --use-ssl         -S       Use SSL connection to remote server.
   --use-sni         -I       Use SNI during SSL handshake (uses virtualhost setting; see -V).
   --server          -s       Use the specified remote server address.
   --port            -p       Use the specified remote server port.
   --url             -u       Use the specified remote server url.
   --use-virtualhost -V       Use the specified virtualhost in GET query.
   --verbose         -v       Use verbose mode output.
   --help            -h       Display this short inlined help screen.
   --fwmark          -m       Use the specified FW mark.
   --protocol        -P       Use the specified HTTP protocol - '1.0', 1.0c', '1.1'.
                                1.0c means 1.0 with 'Connection: close'
   --timeout         -t       Timeout in seconds";

/// Long name, letter, and whether a word follows.
const OPTIONS: &[(&str, char, bool)] = &[
    ("use-ssl", 'S', false),
    ("use-sni", 'I', false),
    ("server", 's', true),
    ("port", 'p', true),
    ("url", 'u', true),
    ("use-virtualhost", 'V', true),
    ("verbose", 'v', false),
    ("help", 'h', false),
    ("fwmark", 'm', true),
    ("protocol", 'P', true),
    ("timeout", 't', true),
];

/// Without `-t` there is no time limit.
const FOREVER: Duration = Duration::from_secs(86_400 * 365);
const READ: usize = 16 * 1024;

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Asked {
    server: Option<IpAddr>,
    port: Option<u16>,
    url: Option<String>,
    virtualhost: Option<String>,
    tls: bool,
    sni: bool,
    verbose: bool,
    fwmark: u32,
    protocol: Protocol,
    timeout: Option<Duration>,
}

/// Runs with the words of the command line behind the program's name, which is `name`. Returns the exit status.
pub(crate) fn run(name: &str, words: &[String]) -> u8 {
    let asked = match read(words) {
        Ok(asked) => asked,
        Err(complaint) => {
            let complaint = complaint.map_or(String::new(), |c| c + "\n");
            // Nobody may be there to read it.
            _ = writeln!(io::stderr(), "{complaint}Usage: {name}{USAGE}");
            return 1;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let (out, error) = match runtime {
        Ok(runtime) => runtime.block_on(fetch(&asked)),
        Err(e) => (Vec::new(), Some(e.to_string())),
    };
    _ = io::stdout().write_all(&out);
    if let Some(error) = error {
        _ = writeln!(io::stderr(), "{error}");
    }
    0
}

/// `Err(None)`: nothing but the usage is shown.
fn read(words: &[String]) -> Result<Asked, Option<String>> {
    let mut asked = Asked::default();
    let mut others = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let fitting: Vec<_> = OPTIONS.iter().filter(|o| o.0.starts_with(name)).collect();
            let exact = fitting.iter().find(|o| o.0 == name);
            let Some((_, letter, wants)) = exact.or(match fitting[..] {
                [_] => fitting.first(),
                _ => None,
            }) else {
                return Err(None);
            };
            let value = match (wants, value) {
                (true, None) => Some(words.next().cloned().ok_or(None)?),
                (false, Some(_)) => return Err(None),
                (_, value) => value,
            };
            asked.set(*letter, &value.unwrap_or_default())?;
        } else if let Some(letters) = word.strip_prefix('-').filter(|l| !l.is_empty()) {
            let mut letters = letters.chars();
            while let Some(letter) = letters.next() {
                let found = OPTIONS.iter().find(|o| o.1 == letter).ok_or(None)?;
                if !found.2 {
                    asked.set(letter, "")?;
                    continue;
                }
                let rest: String = letters.by_ref().collect();
                let value = match rest.is_empty() {
                    true => words.next().cloned().ok_or(None)?,
                    false => rest,
                };
                asked.set(letter, &value)?;
            }
        } else {
            others.push(word.clone());
        }
    }
    if !others.is_empty() {
        return Err(Some(format!(
            "Unexpected argument(s): {}",
            others.join(" ")
        )));
    }
    match asked {
        Asked {
            server: Some(_),
            port: Some(_),
            url: Some(_),
            ..
        } => Ok(asked),
        _ => Err(None),
    }
}

impl Asked {
    fn set(&mut self, letter: char, value: &str) -> Result<(), Option<String>> {
        let bad = |what: &str| Some(format!("invalid {what} '{value}'"));
        match letter {
            'S' => self.tls = true,
            'I' => self.sni = true,
            'v' => self.verbose = true,
            's' => {
                let server = value.parse();
                let server =
                    server.map_err(|_| Some(format!("server should be an IP, not {value}")));
                self.server = Some(server?);
            }
            'p' => {
                let port = value.parse().ok().filter(|p| *p > 0);
                self.port = Some(port.ok_or_else(|| bad("port number"))?);
            }
            'u' => self.url = Some(value.to_owned()),
            'V' => self.virtualhost = Some(value.to_owned()),
            'm' => self.fwmark = value.parse().map_err(|_| bad("fwmark"))?,
            'P' => {
                self.protocol = match value {
                    "1.0" => Protocol::V10,
                    "1.0c" | "1.0C" => Protocol::V10Close,
                    "1.1" => Protocol::V11,
                    _ => return Err(bad("HTTP protocol version")),
                }
            }
            't' => {
                let seconds = value.parse().map_err(|_| bad("timeout"))?;
                self.timeout = Some(Duration::from_secs(seconds));
            }
            _ => return Err(None),
        }
        Ok(())
    }
}

/// A page that came.
struct Page {
    header: Vec<u8>,
    body: Vec<u8>,
    digest: [u8; 16],
}

/// What stands on standard output, and on standard error.
async fn fetch(asked: &Asked) -> (Vec<u8>, Option<String>) {
    let began = Instant::now();
    let fetched = match Tools::new() {
        Ok(tools) => tools.swarm.drive(page(asked, &tools)).await,
        Err(_) => Err("Connection failed"),
    };
    match fetched {
        Ok(Some(page)) => (shown(asked, &page, began.elapsed()), None),
        Ok(None) => {
            let error = "no data received from remote webserver".to_owned();
            (Vec::new(), Some(error))
        }
        Err(reason) => (format!("{reason}\n").into_bytes(), None),
    }
}

async fn page(asked: &Asked, tools: &Tools) -> Result<Option<Page>, &'static str> {
    let (Some(server), Some(port)) = (asked.server, asked.port) else {
        return Ok(None);
    };
    let mut connect = Connect::to(SocketAddr::new(server, port));
    if asked.fwmark != 0 {
        connect.from.get_or_insert_default().fwmark = asked.fwmark;
    }
    let patience = asked.timeout.unwrap_or(FOREVER);
    let host: Option<Arc<str>> = asked.virtualhost.as_deref().map(Into::into);
    let http = Http {
        tls: asked.tls.then(|| Tls {
            identity: Arc::default(),
        }),
        protocol: asked.protocol,
        urls: Vec::new(),
        fast_recovery: false,
    };
    let url = Url {
        sni: host.clone().filter(|_| asked.sni),
        host,
        ..Url::new(asked.url.as_deref().unwrap_or_default())
    };
    let request = http.request(&url, connect.target);
    let connected = timeout(patience, connect.tcp(&tools.swarm)).await;
    let mut stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(_)) => return Err("Connection failed"),
        Err(_) => return Err("Timeout connecting"),
    };
    let Some(with_tls) = &http.tls else {
        return exchange(&mut stream, &request, patience, asked.verbose).await;
    };
    let context = tools.tls.of(&with_tls.identity).ok_or("SSL: no context")?;
    let handshake = timeout(patience, tls::connect(&context, url.sni.as_deref(), stream)).await;
    match handshake {
        Ok(Ok(mut stream)) => exchange(&mut stream, &request, patience, asked.verbose).await,
        Ok(Err(())) => Err("SSL handshake/communication error connecting to"),
        Err(_) => Err("Timeout connecting"),
    }
}

/// `None`: no header came. `keep`: the body is wanted, too.
async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &[u8],
    patience: Duration,
    keep: bool,
) -> Result<Option<Page>, &'static str> {
    let sent = timeout(patience, stream.write_all(request)).await;
    if !matches!(sent, Ok(Ok(()))) {
        return Err("Cannot send get request to");
    }
    let (mut header, mut body): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    let (mut digest, mut left) = (Md5::new(), None);
    let mut some = vec![0; READ];
    loop {
        let part = match timeout(patience, stream.read(&mut some)).await {
            Ok(Ok(0)) => break,
            Ok(Ok(n)) => some.get(..n).unwrap_or(&[]),
            Ok(Err(_)) => return Err("Read error with"),
            Err(_) => return Err("Timeout WEB read"),
        };
        let mut part = part.to_vec();
        let room = match left {
            Some(room) => room,
            None => {
                header.append(&mut part);
                let Some(end) = header_end(&header) else {
                    continue;
                };
                part = header.split_off(end);
                length_of(&header).unwrap_or(u64::MAX)
            }
        };
        let counted = usize::try_from(room).unwrap_or(usize::MAX).min(part.len());
        digest.update(part.get(..counted).unwrap_or(&[]));
        left = Some(room - counted as u64);
        if keep {
            body.append(&mut part);
        }
    }
    Ok(left.map(|_| Page {
        header,
        body,
        digest: digest.finalize().into(),
    }))
}

fn shown(asked: &Asked, page: &Page, took: Duration) -> Vec<u8> {
    let hex: String = page.digest.iter().map(|o| format!("{o:02x}")).collect();
    if !asked.verbose {
        return format!("{hex}\n").into_bytes();
    }
    let mut out = Vec::new();
    let mut add = |part: &[u8]| out.extend_from_slice(part);
    add(b"-----------------------[    HTTP Header Buffer    ]-----------------------\n");
    add(dump(&page.header).as_bytes());
    add(b"-----------------------[ HTTP Header Ascii Buffer ]-----------------------\n");
    add(&page.header);
    add(b"\n-----------------------[        HTML Buffer        ]-----------------------\n");
    add(dump(&page.body).as_bytes());
    add(b"\n-----------------------[    HTML hash resulting    ]-----------------------\n");
    add(dump(&page.digest).as_bytes());
    add(b"-----------------------[ HTML hash final resulting ]-----------------------\n");
    let url = asked.url.as_deref().unwrap_or_default();
    let micros = took.as_micros();
    add(format!("{hex}\n\nGlobal response time for [{url}] = {micros} usecs\n").as_bytes());
    out
}

/// Sixteen octets a line: decimal offset, hexadecimal, text.
fn dump(octets: &[u8]) -> String {
    let mut out = String::new();
    for (n, line) in octets.chunks(16).enumerate() {
        let hex = |range: std::ops::Range<usize>| -> String {
            range
                .map(|at| {
                    line.get(at)
                        .map_or("   ".to_owned(), |o| format!("{o:02x} "))
                })
                .collect()
        };
        let text = line.iter().map(|o| match o {
            b' '..=b'~' => char::from(*o),
            _ => '.',
        });
        let text: String = text.collect();
        let (first, second) = (hex(0..8), hex(8..16));
        out += &format!("{:04}  {first}- {second}  {text:<16}\n", n * 16);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::testserver::{run, says, tcp};
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_are_long_or_short_glued_or_apart() {
        let asked = read(&words(
            "-SI -s127.0.0.1 --port=80 -u /a --url /b --prot 1.0c -t 3",
        ));
        let asked = asked.expect("a good line");
        assert_eq!(asked.url.as_deref(), Some("/b"));
        assert!(asked.tls && asked.sni && !asked.verbose);
        assert_eq!(asked.protocol, Protocol::V10Close);
        let refused = |line: &str| read(&words(line)).expect_err("a bad line");
        for line in ["", "-s", "-x", "-s 1.2.3.4 -p 1", "-h", "--u /", "--foo"] {
            assert_eq!(refused(line), None, "{line}");
        }
        for (line, complaint) in [
            ("-s foo", "server should be an IP, not foo"),
            ("-p 0", "invalid port number '0'"),
            ("-P 2", "invalid HTTP protocol version '2'"),
            ("-t x", "invalid timeout 'x'"),
            ("-m x", "invalid fwmark 'x'"),
            ("-u / extra", "Unexpected argument(s): extra"),
        ] {
            assert_eq!(refused(line).as_deref(), Some(complaint), "{line}");
        }
    }

    #[test]
    fn the_digest_is_that_of_keepalived_and_verbose_output_looks_like_it() {
        run(async {
            let reply = b"HTTP/1.0 200 OK\r\n\r\nhello";
            let server = tcp(move |s| says(s, reply.to_vec())).await;
            let mut asked = Asked {
                server: Some(server.target.ip()),
                port: Some(server.target.port()),
                url: Some("/".into()),
                ..Asked::default()
            };
            let (out, error) = fetch(&asked).await;
            assert_eq!(
                (&*out, error),
                (&b"5d41402abc4b2a76b9719d911017c592\n"[..], None)
            );
            asked.verbose = true;
            let (out, _) = fetch(&asked).await;
            let out = String::from_utf8(out).expect("text");
            // As keepalived 2.2.7 shows the same reply.
            assert!(out.starts_with(VERBOSE), "{out}");
            asked.port = Some(1);
            let refused = (b"Connection failed\n".to_vec(), None);
            assert_eq!(fetch(&asked).await, refused);
        });
    }

    const VERBOSE: &str = "\
-----------------------[    HTTP Header Buffer    ]-----------------------
0000  48 54 54 50 2f 31 2e 30 - 20 32 30 30 20 4f 4b 0d   HTTP/1.0 200 OK.
0016  0a 0d 0a                -                           ...            \x20
-----------------------[ HTTP Header Ascii Buffer ]-----------------------
HTTP/1.0 200 OK\r
\r

-----------------------[        HTML Buffer        ]-----------------------
0000  68 65 6c 6c 6f          -                           hello          \x20

-----------------------[    HTML hash resulting    ]-----------------------
0000  5d 41 40 2a bc 4b 2a 76 - b9 71 9d 91 10 17 c5 92   ]A@*.K*v.q......
-----------------------[ HTML hash final resulting ]-----------------------
5d41402abc4b2a76b9719d911017c592

Global response time for [/] = ";
}
