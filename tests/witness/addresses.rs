//! A box with several addresses answers from the one that was asked, in either protocol.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use crosswire::pair::Side;

use crate::daemon::{Node, Witness, line};

#[test]
fn an_answer_comes_from_where_the_question_went() {
    let mut witness = Witness::new([0, 0, 0, 0].into());
    witness.write("gateway", &line(0, "gateway", 1));
    witness.start();
    // The node checks where each answer comes from.
    for ip in [[127, 0, 0, 1], [127, 0, 0, 2], [127, 9, 8, 7]] {
        let address = SocketAddr::new(ip.into(), witness.address.port());
        Node::new(address, "gateway", 1, Side::A).greet();
    }
}

/// The same with IPv6, which some boxes that build do not have.
#[test]
fn an_answer_over_ipv6_comes_from_where_the_question_went() {
    let table = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let own: Vec<IpAddr> = table.lines().filter(|line| line.ends_with("lo")).map(address_of).collect();
    if own.is_empty() {
        eprintln!("no IPv6 on loopback: not tried");
        return;
    }
    let mut witness = Witness::new("::".parse().expect("it is one"));
    witness.write("gateway", &line(0, "gateway", 1));
    witness.start();
    for ip in own {
        Node::new(SocketAddr::new(ip, witness.address.port()), "gateway", 1, Side::A).greet();
    }
}

/// The first field of a line of that table: 32 digits.
fn address_of(line: &str) -> IpAddr {
    let digits = u128::from_str_radix(line.get(..32).expect("32 digits"), 16).expect("hexadecimal");
    IpAddr::V6(digits.into())
}

#[test]
fn an_address_that_is_none_or_not_of_this_box_is_told() {
    let witness = Witness::new([127, 0, 0, 1].into());
    witness.write("gateway", &line(0, "gateway", 1));
    let run = |listen: &str| {
        let mut command = witness.command();
        let mut arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        arguments[6] = listen.into();
        command = std::process::Command::new(env!("CARGO_BIN_EXE_crosswire"));
        let said = command.args(arguments).output().expect("it can be run");
        (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned())
    };
    for (listen, code, expected) in [
        ("gateway:1694", 2, "crosswire: --listen: `gateway:1694` is no address: write `10.0.0.254`,"),
        ("127.0.0.1:0", 2, "crosswire: --listen: `127.0.0.1:0` is no address"),
        (
            "192.0.2.7",
            1,
            "crosswire: 192.0.2.7:1694: this box has no such address: correct --listen, or leave it out",
        ),
    ] {
        let (found, said) = run(listen);
        assert!(found == Some(code) && said.starts_with(expected), "{listen}: {found:?} {said}");
    }
}
