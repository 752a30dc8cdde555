//! Connections over TLS, to servers of any age: nothing is verified, and a server that asks for it gets our certificate.
//!
//! What the `SSL` block names is read once per block; all checks share it. Source: keepalived's behaviour, ssl(7).

use std::cell::RefCell;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{Ssl as Session, SslContext, SslMethod, SslOptions, SslVerifyMode};
use tokio_openssl::SslStream;
use tracing::error;

use crate::model::global::Ssl;
use crate::sys::swarm::Link;

/// One context for each `SSL` block that was seen; a reload may bring another one.
#[derive(Default)]
pub(crate) struct Contexts {
    known: RefCell<Option<(Arc<Ssl>, Option<SslContext>)>>,
}

impl std::fmt::Debug for Contexts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contexts").finish_non_exhaustive()
    }
}

impl Contexts {
    /// `None`: the block is broken, which is said once.
    pub(in crate::lvs::checker) fn of(&self, block: &Arc<Ssl>) -> Option<SslContext> {
        let mut known = self.known.borrow_mut();
        if let Some((made_of, context)) = &*known
            && (Arc::ptr_eq(made_of, block) || made_of == block)
        {
            return context.clone();
        }
        let context = match context(block) {
            Ok(context) => Some(context),
            Err(Broken { what, reason }) => {
                error!(%reason, "SSL: cannot use the {what}, pages over TLS are not checked");
                None
            }
        };
        *known = Some((Arc::clone(block), context.clone()));
        context
    }
}

/// Which file cannot be used, and why; the password is never shown.
struct Broken {
    what: String,
    reason: ErrorStack,
}

fn context(block: &Ssl) -> Result<SslContext, Broken> {
    let bad = |what: &str, path: Option<&Path>| {
        let what = match path {
            Some(path) => format!("{what} {}", path.display()),
            None => what.to_owned(),
        };
        move |reason| Broken { what, reason }
    };
    let mut made = SslContext::builder(SslMethod::tls_client()).map_err(bad("library", None))?;
    made.set_verify(SslVerifyMode::NONE);
    // Reads whatever is there in one call, instead of the header of each record first.
    made.set_read_ahead(true);
    // Many servers close the connection without a close_notify.
    made.set_options(SslOptions::IGNORE_UNEXPECTED_EOF);
    if let Some(ca) = &block.ca {
        made.set_ca_file(ca).map_err(bad("ca", Some(ca)))?;
    }
    if let Some(certificate) = &block.certificate {
        made.set_certificate_chain_file(certificate)
            .map_err(bad("certificate", Some(certificate)))?;
    }
    if let Some(key) = &block.key {
        let pem = std::fs::read(key).unwrap_or_default();
        let password = block.password.as_deref().unwrap_or_default();
        let found = PKey::private_key_from_pem_passphrase(&pem, password.as_bytes());
        let found = found.map_err(bad("key", Some(key)))?;
        made.set_private_key(&found)
            .map_err(bad("key", Some(key)))?;
    }
    Ok(made.build())
}

/// The handshake. `Err(())`: the reason is of no use to anybody but the other side.
pub(in crate::lvs::checker) async fn connect(
    context: &SslContext,
    sni: Option<&str>,
    stream: Link,
) -> Result<SslStream<Link>, ()> {
    let mut session = Session::new(context).map_err(drop)?;
    if let Some(name) = sni {
        session.set_hostname(name).map_err(drop)?;
    }
    let mut stream = SslStream::new(session, stream).map_err(drop)?;
    Pin::new(&mut stream).connect().await.map_err(drop)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use openssl::asn1::Asn1Time;
    use openssl::hash::MessageDigest;
    use openssl::rsa::Rsa;
    use openssl::ssl::SslContextRef;
    use openssl::x509::X509;

    use super::*;

    fn certificate() -> Result<Vec<u8>, ErrorStack> {
        let key = PKey::from_rsa(Rsa::generate(2048)?)?;
        let mut made = X509::builder()?;
        made.set_pubkey(&key)?;
        made.set_not_before(Asn1Time::days_from_now(0)?.as_ref())?;
        made.set_not_after(Asn1Time::days_from_now(1)?.as_ref())?;
        made.sign(&key, MessageDigest::sha256())?;
        made.build().to_pem()
    }

    #[test]
    fn all_checks_share_one_context_and_its_files_are_read_once() {
        let ca = std::env::temp_dir().join(format!("keepalived-rs-ca-{}", std::process::id()));
        let pem = certificate().expect("a certificate");
        std::fs::write(&ca, pem).expect("a file of our own");
        let block = || {
            Arc::new(Ssl {
                ca: Some(ca.clone()),
                ..Ssl::default()
            })
        };
        let contexts = Contexts::default();
        let first = contexts.of(&block()).expect("a good file");
        std::fs::remove_file(&ca).expect("our own");
        // As many checks as there may be, and after a reload.
        for _ in 0..1000 {
            let next = contexts.of(&block()).expect("it is not read again");
            assert!(std::ptr::eq::<SslContextRef>(&*first, &*next));
        }
        let other = contexts.of(&Arc::default()).expect("no file at all");
        assert!(!std::ptr::eq::<SslContextRef>(&*first, &*other));
        // It is gone, and was forgotten.
        assert!(contexts.of(&block()).is_none());
    }
}
