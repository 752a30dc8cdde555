//! Captured frames for tests: `tests/packets/NAME.hex`, a comment line and hex octets.

use std::path::Path;

/// Octets of an Ethernet header without VLAN tag.
const ETHERNET: usize = 14;

/// The whole Ethernet frame `tests/packets/NAME.hex`.
pub(crate) fn frame(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/packets")
        .join(format!("{name}.hex"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(|octet| {
            u8::from_str_radix(octet, 16).unwrap_or_else(|e| panic!("{name}: {octet}: {e}"))
        })
        .collect()
}

/// The same without its Ethernet header.
pub(crate) fn ip(name: &str) -> Vec<u8> {
    frame(name).split_off(ETHERNET)
}

/// `octets` with one bit turned; bits count from the most significant one of the first octet.
pub(crate) fn flip(octets: &[u8], bit: usize) -> Vec<u8> {
    let mut flipped = octets.to_vec();
    flipped[bit / 8] ^= 0x80 >> (bit % 8);
    flipped
}
