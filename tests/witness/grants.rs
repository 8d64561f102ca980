//! The right to serve, through real datagrams, and what a killed witness costs: nothing.

use std::time::Duration;

use crosswire::pair::Side;
use crosswire::vote::WAIT;
use nix::sys::signal::Signal;

use crate::daemon::{Witness, line, now};

/// How often the nodes ask.
const GAP: Duration = Duration::from_millis(125);

/// The first 32.8 s of a witness are the same for everything that follows: one test, so that they pass once.
#[test]
fn one_node_is_granted_what_the_other_is_refused_until_it_is_returned() {
    let mut witness = Witness::with(&["gateway", "north"]);
    let (mut a, mut b) = (witness.node("gateway", 1, Side::A), witness.node("gateway", 1, Side::B));
    let began = now();
    a.greet();
    b.greet();
    while now().since(began) <= WAIT {
        let reply = a.ask(1).expect("an answer");
        assert!(reply.granted == 0 || now().since(began) >= WAIT, "granted {:?}", now().since(began));
        b.ask(0).expect("an answer");
        std::thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(a.ask(1).expect("an answer").granted, 1);
    assert_eq!(a.claimant.granted(now()), 1);
    let refused = b.ask(1).expect("an answer");
    assert_eq!((refused.granted, refused.other_holds, refused.other_claims), (0, 1, 1));

    // Killed, both halves of it, and started anew: the holder shows what it has, and serves all the time.
    witness.kill();
    assert_eq!(a.ask(1), None, "nobody is there");
    witness.start();
    let mut renewed = false;
    for _ in 0..40 {
        renewed |= a.ask(1).is_some_and(|reply| reply.granted == 1 && reply.is_waiting);
        assert_eq!(a.claimant.granted(now()), 1, "a restart has cost service");
        let reply = b.ask(1);
        assert!(reply.is_none_or(|reply| reply.granted == 0));
        std::thread::sleep(GAP);
    }
    assert!(renewed, "the new run has gone on with the grant of the old one");

    // Another worker alone is another run too.
    let worker = witness.worker().expect("it runs");
    witness.signal(worker, Signal::SIGKILL);
    for _ in 0..40 {
        let _ = a.ask(1);
        assert_eq!(a.claimant.granted(now()), 1, "another worker has cost service");
        assert!(b.ask(1).is_none_or(|reply| reply.granted == 0));
        std::thread::sleep(GAP);
    }
    assert_ne!(witness.worker(), Some(worker));

    // Other keys come and go, and the pair keeps what it has.
    witness.write("south", &line(0, "south", 1));
    witness.write("gateway", &(line(1, "gateway", 2) + &line(0, "gateway", 1)));
    std::fs::remove_file(witness.path("keys/north")).expect("removed");
    witness.reload();
    let reply = a.ask(1).expect("an answer");
    assert_eq!((reply.granted, reply.is_counted), (1, true));
    b.key = witness.node("gateway", 2, Side::B).key;
    assert_eq!(b.ask(1).expect("an answer by the new key").granted, 0);
    assert!(witness.node("north", 1, Side::A).ask(0).is_none());
    assert!(witness.node("south", 1, Side::A).ask(0).is_some());

    // It lets go, and the other one has it at once, but for what a new run waits.
    a.claimant.give_back(1);
    assert_eq!(a.ask(0).expect("an answer").held, 0);
    let began = now();
    while now().since(began) <= WAIT {
        let reply = b.ask(1).expect("an answer");
        assert_eq!(reply.granted == 1, !reply.is_waiting, "as soon as it gives anything");
        if reply.granted == 1 {
            assert_eq!(a.ask(1).expect("an answer").granted, 0);
            assert_eq!(witness.stop(), Some(0));
            return;
        }
        let _ = a.ask(0);
        std::thread::sleep(Duration::from_secs(1));
    }
    panic!("never granted");
}
