//! Whoever has no key gets no byte out of it, and is named in the log: a flood as one line and a count.

use std::net::UdpSocket;
use std::time::Duration;

use crosswire::pair::Side;
use crosswire::vote::wire::QUESTION_BYTES;
use nix::sys::signal::Signal;

use crate::daemon::{Witness, now};

#[test]
fn strangers_get_no_answer_and_a_wrong_key_is_named() {
    let mut witness = Witness::with(&["gateway"]);
    let mut node = witness.node("gateway", 2, Side::A);
    assert!(node.ask(0).is_none(), "a key that the witness has not");
    let name: String = node.key.name().iter().map(|byte| format!("{byte:02x}")).collect();
    witness.wait_for(&format!("a question from 127.0.0.1 is under the key {name}, which no file here holds"));
    // In the name of the pair, but not by its key.
    let mut known = witness.node("gateway", 1, Side::A);
    let mut question = known.claimant.ask(now(), 0).seal(&known.key);
    question[QUESTION_BYTES - 1] ^= 1;
    known.socket.send_to(&question, witness.address).expect("sent");
    witness.wait_for("pair gateway: a question from 127.0.0.1 is not authentic");
    known.socket.recv(&mut [0; 128]).expect_err("nothing comes back");
    // A wrong key that asks for a minute is no flood of lines.
    for _ in 0..500 {
        let question = node.claimant.ask(now(), 0).seal(&node.key);
        node.socket.send_to(&question, witness.address).expect("sent");
        std::thread::sleep(Duration::from_millis(1));
    }
    known.greet();
    let lines = witness.log().matches("which no file here holds").count();
    assert!(lines <= 6, "{lines} lines");
    // What was held back is counted, and said at the end at the latest.
    assert_eq!(witness.stop(), Some(0));
    let log = witness.log();
    assert!(log.contains("more like this in 60 s"), "{log}");
    assert!(log.contains("501 under unknown keys, 1 not authentic"), "{log}");
}

/// SIGUSR1 has it say what it does, and costs nothing.
#[test]
fn it_says_what_it_has_done_when_it_is_asked() {
    let witness = Witness::with(&["gateway", "north"]);
    let mut node = witness.node("gateway", 1, Side::A);
    node.greet();
    (0..5).for_each(|_| assert!(node.ask(0).is_some()));
    witness.signal(witness.keeper(), Signal::SIGUSR1);
    witness
        .wait_for("pairs: 2, keys: 2; answered since the start: 6 questions, 1 first ones; refused: 0 under");
    // No gateway runs there, and whoever asks for one is told what does.
    let mut status = std::process::Command::new(env!("CARGO_BIN_EXE_crosswire"));
    let said = status.args(["status", "--run-dir"]).arg(witness.path("run")).output().expect("it can be run");
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.code() == Some(3) && text.starts_with("a voting witness runs in "), "{said:?}");
    assert!(text.contains(&format!("process {}: ", witness.keeper())), "{said:?}");
}

/// One who has recorded a first question and sends it again and again takes nothing from the pairs.
#[test]
fn recorded_first_questions_starve_nobody() {
    let witness = Witness::with(&["gateway", "north"]);
    let mut recorded = witness.node("north", 1, Side::A);
    let question = recorded.claimant.ask(now(), 0).seal(&recorded.key);
    let flood = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let mut node = witness.node("gateway", 1, Side::A);
    node.greet();
    for round in 0..50 {
        (0..200).for_each(|_| drop(flood.send_to(&question, witness.address)));
        assert!(node.ask(0).is_some_and(|reply| reply.is_counted), "round {round}");
    }
    let mut late = witness.node("gateway", 1, Side::B);
    late.greet();
}
