//! `authentication` and `auth_hmac`: which of them counts, and whether it is complete.

use std::sync::Arc;
use std::time::Duration;

use super::Voice;
use crate::config::blocks::auth_hmac::HmacDraft;
use crate::config::blocks::vrrp_instance::AuthType;
use crate::config::source::Code;
use crate::model::auth::{AntiReplay, Hmac, HmacMode, Secret};
use crate::model::net::Family;
use crate::model::vrrp::{Auth, Instance, Version};

/// `time_window` where it is not given: three intervals, 5 s at least, 300 s at most.
const MIN_WINDOW: Duration = Duration::from_secs(5);
const MAX_WINDOW: Duration = Duration::from_secs(300);

/// `v` has its version, family and interval already.
pub(super) fn link(voice: &mut Voice<'_>, v: &Instance) -> Auth {
    let draft = voice.draft;
    if let Some(hmac) = &draft.hmac {
        if draft.auth_type.is_some() {
            voice.say(
                Code::Conflict,
                "authentication is ignored since auth_hmac is used",
            );
        }
        return hmac_of(voice, hmac, v.advert_int).unwrap_or(Auth::None);
    }
    let Some(kind) = draft.auth_type else {
        return Auth::None;
    };
    if v.version == Version::V3 || v.family == Family::V6 {
        voice.say(
            Code::Conflict,
            "VRRP version 3 does not support authentication. Ignoring.",
        );
        return Auth::None;
    }
    if draft.strict {
        voice.say(
            Code::Conflict,
            "Strict mode does not support authentication. Ignoring.",
        );
        return Auth::None;
    }
    match (kind, draft.auth_pass) {
        (AuthType::Pass, Some(password)) => Auth::Pass(password.0),
        (AuthType::Ah, Some(password)) => Auth::Ah(Secret::new(password.0.to_vec())),
        (AuthType::Pass | AuthType::Ah, None) => {
            voice.say(
                Code::Conflict,
                "Authentication specified but no password given. Ignoring",
            );
            Auth::None
        }
    }
}

fn hmac_of(voice: &mut Voice<'_>, draft: &HmacDraft, advert_int: Duration) -> Option<Auth> {
    let active = draft.active.filter(|id| draft.keys.contains_key(id));
    let Some(active) = active else {
        voice.say(
            Code::Conflict,
            "auth_hmac needs an active_key that is one of its keys - auth_hmac is not used",
        );
        return None;
    };
    let mut mode = draft.mode.unwrap_or(HmacMode::Enforce);
    if voice.draft.strict && mode != HmacMode::Enforce {
        voice.say(
            Code::Conflict,
            "auth_hmac mode must be enforce in strict mode",
        );
        mode = HmacMode::Enforce;
    }
    let whole = Duration::from_secs((advert_int * 3).as_secs());
    let window = draft.window.unwrap_or(whole.clamp(MIN_WINDOW, MAX_WINDOW));
    Some(Auth::Hmac(Arc::new(Hmac {
        keys: draft.keys.clone(),
        active,
        replay: if draft.monotonic {
            AntiReplay::Monotonic
        } else {
            AntiReplay::Time(window)
        },
        mode,
    })))
}
