//! VRRP between real daemons on a LAN of network namespaces: ours against ours, and ours against stock keepalived.

#[path = "../lab/mod.rs"]
mod lab;

mod changes;
mod claims;
mod dialects;
mod election;
mod equality;
mod frr;
mod groups;
mod hardship;
mod kernel;
mod keywords;
mod lock;
mod reloads;
mod scripts;
mod secrets;
mod tutorials;
mod vmac;
mod wire;

#[path = "../lab/dice.rs"]
mod dice;
#[path = "../lab/routers.rs"]
mod routers;

/// Runs one story with every pair that a person may put on a LAN: ours with ours, and either with stock.
macro_rules! with_every_pair {
    ($($story:ident)*) => {$(
        mod $story {
            use crate::routers::Which::{Ours, Stock};

            #[test]
            fn two_of_ours() {
                if crate::lab::root() {
                    super::story::$story(Ours, Ours);
                }
            }

            #[test]
            fn our_master_stock_backup() {
                if crate::lab::root() {
                    super::story::$story(Ours, Stock);
                }
            }

            #[test]
            fn stock_master_our_backup() {
                if crate::lab::root() {
                    super::story::$story(Stock, Ours);
                }
            }
        }
    )*};
}
use with_every_pair;
