//! Two or three nodes that differ in one thing.

use super::{Elsewhere, findings};
use crate::check::finding::Node;
use crate::check::places::Places;
use crate::config::fake::{Fake, MAIN};
use crate::config::source::Code;
use crate::config::{LoadOptions, load};

/// What is found between the files.
fn cluster(texts: &[&str]) -> Vec<Code> {
    let fakes: Vec<Fake> = texts.iter().map(Fake::with).collect();
    let nodes: Vec<Node> = fakes
        .iter()
        .enumerate()
        .map(|(number, fake)| Node {
            options: crate::config::LoadOptions::default(),
            number,
            name: format!("node{number}.conf"),
            loaded: load(
                &LoadOptions {
                    path: MAIN.into(),
                    ..LoadOptions::default()
                },
                &Elsewhere(fake),
            ),
        })
        .collect();
    let places: Vec<Places<'_>> = nodes
        .iter()
        .zip(&fakes)
        .map(|(n, f)| Places::new(n, f))
        .collect();
    findings(&places).iter().map(|f| f.diag.code).collect()
}

fn instance(priority: u8, more: &str) -> String {
    format!(
        "vrrp_instance V{priority} {{\n interface ens{priority}\n virtual_router_id 51\n priority {priority}\n {more}\n \
         virtual_ipaddress {{\n 10.0.0.1/24\n 10.0.0.2/24\n }}\n}}\n"
    )
}

/// The same on two nodes, but for the priority and this.
fn pair(first: &str, second: &str) -> Vec<Code> {
    cluster(&[&instance(150, first), &instance(100, second)])
}

#[test]
fn a_sane_pair_is_left_alone() {
    assert_eq!(pair("", ""), []);
    let pass = "authentication {\n auth_type PASS\n auth_pass 1111\n }";
    assert_eq!(pair(pass, pass), []);
    let peer = |own: u8, other: u8| {
        format!("unicast_src_ip 10.0.0.{own}\n unicast_peer {{\n 10.0.0.{other}\n }}")
    };
    assert_eq!(pair(&peer(8, 9), &peer(9, 8)), []);
}

#[test]
fn each_difference_has_its_code() {
    assert_eq!(pair("version 3", "version 2"), [Code::VersionDiffers]);
    assert_eq!(pair("advert_int 2", ""), [Code::IntervalDiffers]);
    let pass = |p: &str| format!("authentication {{\n auth_type PASS\n auth_pass {p}\n }}");
    assert_eq!(pair(&pass("a"), &pass("b")), [Code::AuthDiffers]);
    assert_eq!(pair(&pass("a"), ""), [Code::AuthDiffers]);
    assert_eq!(pair("mcast_dst_ip 224.0.0.77", ""), [Code::WayDiffers]);
    assert_eq!(pair("", "nopreempt"), [Code::NopreemptElsewhere]);
    let (a, b) = (instance(150, ""), instance(100, ""));
    assert_eq!(
        cluster(&[&a, &b.replace("_id 51", "_id 52")]),
        [Code::VridDiffers]
    );
    assert_eq!(
        cluster(&[&a, &b.replace("10.0.0.2/24", "")]),
        [Code::AddressesDiffer]
    );
    let turned = b.replace("10.0.0.1/24\n 10.0.0.2/24", "10.0.0.2/24\n 10.0.0.1/24");
    assert_eq!(cluster(&[&a, &turned]), [Code::AddressesDiffer]);
    assert_eq!(cluster(&[&a, &a]), [Code::EqualPriorities]);
    let calm = instance(100, "nopreempt");
    assert_eq!(cluster(&[&calm, &calm]), []);
    assert_eq!(cluster(&[&a, &b, "global_defs {\n}"]), []);
    assert_eq!(cluster(&[&a, "global_defs {\n}"]), [Code::NoCounterpart]);
}

#[test]
fn peers_name_each_other() {
    let peer = |own: u8, others: &str| {
        format!("unicast_src_ip 10.0.0.{own}\n unicast_peer {{\n {others}\n }}")
    };
    let (a, b) = (peer(8, "10.0.0.9"), peer(9, "10.0.0.8"));
    let lone = peer(7, "10.0.0.8\n 10.0.0.9");
    let three = [instance(150, &a), instance(100, &b), instance(90, &lone)];
    let three: Vec<&str> = three.iter().map(String::as_str).collect();
    assert_eq!(cluster(&three), [Code::PeerMissing, Code::PeerMissing]);
    let wrong = peer(8, "10.0.0.9\n 10.0.0.99");
    assert_eq!(pair(&wrong, &b), [Code::PeerUnknown]);
    assert_eq!(pair(&a, "")[0], Code::WayDiffers);
}

#[test]
fn weights_below_the_distance_change_nothing() {
    let script = "vrrp_script S {\n script /bin/x\n}\n".to_owned();
    let node = |p: u8, weight: i16| {
        script.clone() + &instance(p, &format!("track_script {{\n S weight {weight}\n }}"))
    };
    assert_eq!(cluster(&[&node(150, -60), &node(100, -60)]), []);
    assert_eq!(
        cluster(&[&node(150, -20), &node(100, -20)]),
        [Code::WeightTooSmall]
    );
    assert_eq!(cluster(&[&node(101, 2), &node(100, 2)]), []);
}

#[test]
fn virtual_servers_are_the_same_everywhere() {
    let server = |real: &str| {
        format!(
            "virtual_server 10.0.0.1 80 {{\n protocol TCP\n real_server {real} 80 {{\n }}\n}}\n"
        )
    };
    let (a, b) = (server("10.0.0.5"), server("10.0.0.6"));
    assert_eq!(cluster(&[&a, &a]), []);
    assert_eq!(cluster(&[&a, &b]), [Code::ServersDiffer]);
    assert_eq!(cluster(&[&a, &a.replace("1 80 {", "1 81 {")]).len(), 2);
}
