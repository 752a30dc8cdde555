//! Version 2 authentication: the password in clear text (RFC 2338 §5.3.6). It protects against mistakes, not people.

use crate::model::vrrp::Auth;
use crate::wire::vrrp::AUTH;

use super::PacketFault;

/// Authentication types on the wire.
const NONE: u8 = 0;
const PASS: u8 = 1;
const AH: u8 = 2;

/// Type and data as they are sent.
pub(super) fn on_wire(auth: &Auth) -> (u8, [u8; AUTH]) {
    match auth {
        Auth::None => (NONE, [0; AUTH]),
        Auth::Pass(password) => (PASS, *password),
    }
}

/// `data`: the last octets of the packet (none over IPv6).
///
/// # Errors
/// What keepalived counts and reports, in its order.
pub(super) fn check(
    auth: &Auth,
    auth_type: u8,
    data: Option<&[u8; AUTH]>,
) -> Result<(), PacketFault> {
    let (want, password) = on_wire(auth);
    if auth_type > AH {
        return Err(PacketFault::AuthTypeUnknown(auth_type));
    }
    if auth_type != want {
        return Err(PacketFault::AuthTypeMismatch {
            got: auth_type,
            want,
        });
    }
    match auth {
        Auth::Pass(_) if data.is_some_and(|data| !same(data, &password)) => {
            Err(PacketFault::Password)
        }
        Auth::None | Auth::Pass(_) => Ok(()),
    }
}

/// Takes the same time wherever the first difference is.
fn same(a: &[u8; AUTH], b: &[u8; AUTH]) -> bool {
    a.iter().zip(b).fold(0, |odd, (a, b)| odd | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_decides_only_where_the_types_agree() {
        let ours = Auth::Pass(*b"s3cret\0\0");
        assert_eq!(check(&ours, 1, Some(b"s3cret\0\0")), Ok(()));
        assert_eq!(
            check(&ours, 1, Some(b"s3cret\0x")),
            Err(PacketFault::Password)
        );
        assert_eq!(
            check(&ours, 0, Some(&[0; 8])),
            Err(PacketFault::AuthTypeMismatch { got: 0, want: 1 })
        );
        assert_eq!(
            check(&Auth::None, 2, Some(&[0; 8])),
            Err(PacketFault::AuthTypeMismatch { got: 2, want: 0 })
        );
        assert_eq!(
            check(&ours, 3, Some(&[0; 8])),
            Err(PacketFault::AuthTypeUnknown(3))
        );
        assert_eq!(check(&Auth::None, 0, Some(b"whatever")), Ok(()));
        assert_eq!(check(&Auth::None, 0, None), Ok(()));
    }
}
