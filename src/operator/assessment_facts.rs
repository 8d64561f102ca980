//! Every fact, combined with every fact of another kind: the gravest code counts.

use super::*;
use crate::gather::Gather;
use crosswire::pair::Interface;
use crosswire::resource::Fault;
use crosswire::status::{NeighbourStatus, VoteStatus};

/// Facts by kind: each may be true together with any fact of another kind. Each line has the code and the
/// reason of the fact alone.
pub const FACTS: [&[(&str, Change, u8, &str)]; 8] = [
    // What the peer is.
    &[
        ("heard", |_| {}, 0, ""),
        ("not understood", not_understood, 4, "keys_differ"),
        ("left", |r| silent(r, Verdict::Departed), 4, "peer_departed"),
        ("dead", |r| silent(r, Verdict::Dead), 4, "peer_dead"),
        ("doubtful", |r| silent(r, Verdict::Doubtful), 4, "peer_unheard"),
        (
            "unheard for a moment",
            |r| (r.node.verdict, r.node.peer) = (Verdict::Dead, Some(peer(Role::Backup))),
            0,
            "",
        ),
        ("granted what it serves", |r| granted_to_peer(r, Verdict::Doubtful), 4, "granted_to_peer"),
        ("granted, and dead by the paths", |r| granted_to_peer(r, Verdict::Dead), 4, "granted_to_peer"),
        ("never heard", |r| (r.node.verdict, r.node.peer) = (Verdict::Doubtful, None), 4, "peer_unheard"),
    ],
    // This node: guard, carrier, scripts, addresses that the kernel refuses.
    &[
        ("able", |_| {}, 0, ""),
        ("unable for a moment", |r| groups(r, |group| group.unable = HICCUP), 0, ""),
        ("unable", |r| groups(r, |group| group.unable = A_WHILE), 4, "unable"),
        ("unable for long", |r| groups(r, |group| group.unable = LONG), 4, "unable"),
        ("deaf", |r| r.deaf.push("eth0".to_owned()), 4, "unable"),
        ("ending", |r| r.node.is_stopping = true, 4, "unable"),
    ],
    // The same on the peer, and what it says of the group.
    &[
        ("able", |_| {}, 0, ""),
        ("unable for a moment", |r| groups(r, |group| group.peer_unable = HICCUP), 0, ""),
        ("unable", |r| groups(r, |group| group.peer_unable = A_WHILE), 4, "peer_unable"),
        ("unable for long", |r| groups(r, |group| group.peer_unable = LONG), 5, "peer_cannot_serve"),
    ],
    // Who sees the witness.
    &[
        ("both", |_| {}, 0, ""),
        ("both, a moment ago", |r| r.node.witnesses[0].answered = HICCUP, 0, ""),
        ("the peer", |r| unseen(r, A_WHILE), 4, "witness_unseen"),
        ("the peer since the start", |r| unseen(r, None), 4, "witness_unseen"),
        ("we", |r| r.node.witnesses[0].peer_misses = A_WHILE, 4, "witness_unseen"),
        ("we, for a moment", |r| r.node.witnesses[0].peer_misses = HICCUP, 0, ""),
    ],
    // What people have asked for. What a peer said counts no more when it is not heard any more.
    &[
        ("nothing", |_| {}, 0, ""),
        ("standby", |r| r.node.is_standby = true, 4, "standby"),
        ("maintenance", |r| r.node.maintenance = Some(Span::from_s(60)), 4, "maintenance"),
    ],
    // Whether somebody serves, as far as this node can tell.
    &[
        ("served", |_| {}, 0, ""),
        ("not for a moment", |r| groups(r, |group| group.unserved = HICCUP), 0, ""),
        ("on its way", |r| unserved(r, 5, Block::PeersTurn), 4, "moving"),
        ("listening", |r| unserved(r, 5, Block::ColdStart), 5, "cold_start"),
        ("not", |r| unserved(r, 7, Block::Jeopardy), 5, "nobody_serves"),
        ("on its way for long", |r| groups(r, |group| group.unserved = LONG), 5, "nobody_serves"),
    ],
    // Who else serves or claims it.
    &[
        ("nobody", |_| {}, 0, ""),
        ("the peer", |r| groups(r, |group| group.both_serve = HICCUP), 5, "both_serve"),
        ("a stranger claims it", claimed, 4, "foreign_claim"),
        ("our own lo", |r| r.misplaced.push("10.0.0.100@lo".to_owned()), 4, "misplaced_address"),
    ],
    // Paths and files.
    &[
        ("well", |_| {}, 0, ""),
        ("one fails", |r| r.node.jeopardy = A_WHILE, 4, "jeopardy"),
        ("one has just failed", |r| r.node.jeopardy = HICCUP, 4, "jeopardy"),
        ("two files", |r| r.node.is_digest_different = true, 4, "configurations_differ"),
    ],
];

/// The voting witness keeps the group for a peer that nobody hears, and that goes on asking.
fn granted_to_peer(report: &mut Report, verdict: Verdict) {
    silent(report, verdict);
    let vote = VoteStatus { granted_to_peer: 1, ..voting() };
    (report.node.vote, report.vote) = (Some(vote), Some("10.0.0.253".to_owned()));
}

/// A voting witness on which both nodes count.
pub fn voting() -> VoteStatus {
    VoteStatus {
        answered: HICCUP,
        does_count: true,
        is_needed: true,
        is_agreed: true,
        lasts: Span::from_s(60),
        is_waiting: false,
        granted: 0,
        granted_to_peer: 0,
        is_peer_quiet: false,
    }
}

/// A box that is neither node claims an address.
fn claimed(report: &mut Report) {
    report.node.groups[0].foreign_mac = Some([4; 6]);
}

fn unseen(report: &mut Report, answered: Option<Span>) {
    report.node.witnesses[0].answered = answered;
}

/// Every combination, for either role. A node that holds a group and cannot serve it for long has a graver
/// code than a backup that could not take it, on the peer too while that is heard.
#[test]
fn of_all_that_is_so_the_gravest_counts() {
    let mut choice = [0; FACTS.len()];
    let mut tried = 0;
    loop {
        let chosen = FACTS.iter().zip(choice).map(|(lines, index)| &lines[index]);
        for role in [Role::Active, Role::Backup] {
            let does_hold = role == Role::Backup && choice[0] == 0;
            let code = |line: &(_, _, u8, &str)| match line.3 {
                "peer_cannot_serve" if !does_hold => 4,
                _ => line.2,
            };
            let gravest = chosen.clone().map(code).max().unwrap_or_default();
            let mut report = well(role);
            chosen.clone().for_each(|(_, change, _, _)| change(&mut report));
            let expected = if role == Role::Active && choice[1] == 3 { 5 } else { gravest };
            let names: Vec<_> = chosen.clone().map(|(name, ..)| *name).gather();
            assert_eq!(assess(&report).exit.code(), expected, "{role:?}, {names:?}");
        }
        tried += 1;
        let Some(next) = (0..FACTS.len()).find(|index| choice[*index] + 1 < FACTS[*index].len()) else {
            break;
        };
        choice[next] += 1;
        choice[..next].fill(0);
    }
    assert_eq!(tried, FACTS.iter().map(|lines| lines.len()).product::<usize>());
}

#[test]
fn each_fact_alone_has_its_reason() {
    for (name, change, code, reason) in FACTS.iter().copied().flatten() {
        let mut report = well(Role::Backup);
        change(&mut report);
        let expected = if reason.is_empty() { "well" } else { reason };
        let said = assess(&report);
        assert_eq!((said.exit.code(), said.name), (*code, expected), "{name}");
    }
}

/// Who died matters less than that nobody serves, and a node that serves is not said to be unable to take
/// over.
#[test]
fn what_is_not_served_is_said_before_who_is_to_blame() {
    let sentence = |change: Change| {
        let mut report = well(Role::Backup);
        change(&mut report);
        assess(&report).sentence(&report)
    };
    let waiting = sentence(|r| {
        silent(r, Verdict::Dead);
        unserved(r, 5, Block::Lease);
        r.node.groups[0].wait = Some(Span::from_s(57));
    });
    assert_eq!(waiting, "NOBODY SERVES gateway yet; gw2 is off, hangs or is cut off; gw1 waits 57 s more");
    let left = sentence(|r| {
        silent(r, Verdict::Departed);
        unserved(r, 5, Block::Unsteady);
        r.node.groups[0].wait = Some(Span::from_s(3));
    });
    assert_eq!(left, "NOBODY SERVES gateway yet; gw2 said goodbye and is gone; gw1 waits 3 s more");
    let failing = sentence(|r| {
        groups(r, |group| group.peer_unable = A_WHILE);
        r.node.peer.as_mut().expect("it is heard").has_no_carrier = true;
    });
    assert_eq!(failing, "gw2 CANNOT SERVE what it holds: an interface of it has no carrier");
}

/// Of what a silent peer held a node that may be cut off itself knows nothing. One whose neighbours answer
/// would hear whoever serves.
#[test]
fn who_may_be_cut_off_does_not_say_that_nobody_serves() {
    let alone = |verdict, block, state| {
        let mut report = well(Role::Backup);
        silent(&mut report, verdict);
        unserved(&mut report, 7, block);
        report.groups[0].1 = vec!["10.0.0.100/24@eth0".to_owned()];
        among(&mut report, state, None);
        let reason = assess(&report);
        (reason.exit.code(), reason.sentence(&report).starts_with("PERHAPS NOBODY SERVES gateway"))
    };
    for (verdict, block, state, is_perhaps) in [
        (Verdict::Doubtful, Block::Jeopardy, Interface::Unknown, true),
        (Verdict::Doubtful, Block::CutOff, Interface::CutOff, true),
        (Verdict::Dead, Block::CutOff, Interface::CutOff, true),
        (Verdict::Dead, Block::WitnessUnseen, Interface::Unknown, true),
        (Verdict::Doubtful, Block::Jeopardy, Interface::Proven, true),
        (Verdict::Dead, Block::WitnessUnseen, Interface::Proven, true),
        (Verdict::Dead, Block::Lease, Interface::Unknown, false),
        (Verdict::Present, Block::CutOff, Interface::CutOff, false),
    ] {
        assert_eq!(alone(verdict, block, state), (5, is_perhaps), "{verdict:?} {block:?} {state:?}");
    }
}

/// Where nobody knows the MAC of the peer, an answer may be the peer's.
#[test]
fn an_answer_that_may_be_the_peers_is_said_to_be_that() {
    let mut report = well(Role::Backup);
    silent(&mut report, Verdict::Dead);
    unserved(&mut report, 7, Block::VipAnswers);
    claimed(&mut report);
    let sentence = |report: &Report| (assess(report).exit.code(), assess(report).sentence(report));
    let said = "NOBODY SERVES gateway: 04:04:04:04:04:04 answers for an address of it";
    assert_eq!(sentence(&report), (5, said.to_owned()));
    report.node.groups[0].is_foreign_mac_doubtful = true;
    assert_eq!(sentence(&report), (5, format!("PERHAPS {said}: gw2 or a stranger")));
}

/// A node that is cut off is told what it lacks, and which path to repair.
#[test]
fn a_node_that_is_cut_off_is_named_with_the_path_to_repair() {
    for (role, who, there) in
        [(Role::Active, "gw2", Interface::CutOff), (Role::Backup, "gw1", Interface::Proven)]
    {
        let mut report = well(role);
        let here = if role == Role::Active { Interface::Proven } else { Interface::CutOff };
        among(&mut report, here, Some(there));
        groups(&mut report, |group| match group.role {
            Role::Active => group.peer_unable = A_WHILE,
            _ => group.unable = A_WHILE,
        });
        report.node.jeopardy = A_WHILE;
        report.node.paths.iter_mut().for_each(|path| path.heard_by_peer = HICCUP);
        report.node.paths[1].state = PathState::Silent;
        let said = assess(&report).sentence(&report);
        let wanted =
            format!("{who} could not take over: no neighbour answers it on eth0; DEGRADED: lan is down.");
        assert!(said.contains(&wanted), "{said}");
    }
}

/// What is known of eth0, here and there.
fn among(report: &mut Report, state: Interface, peer: Option<Interface>) {
    report.interfaces = vec!["eth0".to_owned()];
    let neighbours = NeighbourStatus { interface: 0, state, heard: HICCUP, peer };
    report.node.neighbours = [neighbours].into_iter().collect();
}

/// What the voting witness keeps for a silent peer is not said to be served by nobody: not while the peer
/// asks, and not afterwards, when nobody can know it.
#[test]
fn a_grant_of_the_peer_is_named_before_anybody_says_that_nobody_serves() {
    let sentence = |change: Change| {
        let mut report = well(Role::Backup);
        granted_to_peer(&mut report, Verdict::Dead);
        change(&mut report);
        let said = assess(&report);
        (said.exit.code(), said.sentence(&report))
    };
    let (code, said) = sentence(|_| {});
    let asks = "gw2 is not heard, and holds the grant of the voting witness for gateway: it may serve";
    assert_eq!((code, said.as_str()), (4, asks));
    let quiet: Change = |r| {
        r.node.vote.as_mut().expect("a witness").is_peer_quiet = true;
        unserved(r, 7, Block::GrantedToPeer);
    };
    let (code, said) = sentence(quiet);
    assert!(
        code == 5 && said.starts_with("PERHAPS NOBODY SERVES gateway: the voting witness keeps"),
        "{said}"
    );
    let (code, said) = sentence(|r| unserved(r, 7, Block::ColdStart));
    assert!(code == 5 && said.starts_with("PERHAPS NOBODY SERVES gateway: cold start"), "{said}");
    let (code, said) = sentence(|r| {
        r.node.vote.as_mut().expect("a witness").granted_to_peer = 0;
        unserved(r, 7, Block::NotGranted);
    });
    assert!(code == 5 && said.starts_with("NOBODY SERVES gateway"), "{said}");
}

/// The code and the first line of a node of this role, to which that was done.
fn line(role: Role, change: impl Fn(&mut Report)) -> (u8, String) {
    let mut report = well(role);
    change(&mut report);
    let said = assess(&report);
    (said.exit.code(), said.sentence(&report))
}

/// A witness that answers may have granted it to the peer: nobody is told to take over by force.
#[test]
fn to_take_over_by_force_is_advised_only_where_the_witness_is_silent() {
    let told = |answered, state| {
        line(Role::Backup, |r| {
            silent(r, Verdict::Dead);
            unserved(r, 7, Block::NotGranted);
            (r.node.vote, r.vote) = (Some(VoteStatus { answered, ..voting() }), Some("w".to_owned()));
            among(r, state, None);
        })
    };
    let why = "the voting witness has not granted it to this node";
    let cut = "gw1 is cut off: no neighbour answers it on eth0";
    let advice = "if you have seen that gw2 is off, say `takeover GROUP --peer-is-off`";
    assert_eq!(told(HICCUP, Interface::Unknown), (5, format!("NOBODY SERVES gateway: {why}")));
    assert_eq!(told(HICCUP, Interface::CutOff), (5, format!("NOBODY SERVES gateway: {cut}; {why}")));
    let silent = format!("PERHAPS NOBODY SERVES gateway: {why}; {advice}");
    assert_eq!(told(A_WHILE, Interface::Unknown), (5, silent));
}

/// The node in standby says the same of its peer as the peer itself.
#[test]
fn a_peer_that_cannot_serve_what_it_holds_is_graver_than_a_standby() {
    let told = |lasts| {
        line(Role::Backup, |r| {
            (r.node.is_standby, r.node.groups[0].peer_unable) = (true, lasts);
            r.node.peer.iter_mut().for_each(|peer| peer.has_no_carrier = true);
        })
    };
    assert_eq!(told(A_WHILE), (4, "gw1 is in standby".to_owned()));
    let said = "gw2 CANNOT SERVE what it holds: an interface of it has no carrier";
    assert_eq!(told(LONG), (5, said.to_owned()));
}

/// A stop that has failed is no move that goes on. The peer is told no more than that it releases.
#[test]
fn a_script_that_does_not_stop_is_named() {
    let here = line(Role::Releasing, |r| {
        r.node.peer = Some(peer(Role::Backup));
        groups(r, |group| (group.unserved, group.fault) = (A_WHILE, Some(Fault::ScriptStop(0))));
        r.scripts = vec!["systemd:foo\n".to_owned()];
    });
    let said = "NOBODY SERVES gateway: systemd:foo did not stop; its addresses are gone";
    assert_eq!(here, (5, said.to_owned()));
    let there = line(Role::Backup, |r| {
        r.node.peer = Some(peer(Role::Releasing));
        unserved(r, 5, Block::PeerReleases);
        r.node.groups[0].peer_unable = A_WHILE;
    });
    assert_eq!(there, (4, "on its way: gateway: gw2 is releasing it".to_owned()));
}

#[test]
fn what_maintenance_keeps_from_moving_is_served_by_nobody_for_so_long() {
    let (code, said) = line(Role::Backup, |r| {
        silent(r, Verdict::Departed);
        unserved(r, 2, Block::PeerMaintenance);
        r.node.groups[0].wait = Some(Span::from_s(33));
    });
    let wanted = "NOBODY SERVES gateway: gw2 was last heard in maintenance: nothing is moved until that is \
        over, 33 s more";
    assert_eq!((code, said.as_str()), (5, wanted));
}

/// No contradiction to the forecast below it.
#[test]
fn a_node_that_is_not_ready_takes_over_all_the_same() {
    let all_the_same = "; it takes over from a dead peer all the same";
    let there = |r: &mut Report| {
        r.node.groups[0].peer_unable = A_WHILE;
        let said = r.node.peer.iter_mut().flat_map(|peer| &mut peer.groups).flatten();
        said.for_each(|said| said.word = Word::Unready);
    };
    let said = "gw1 serves gateway; gw2 is not ready: a check of gateway fails there";
    assert_eq!(line(Role::Active, there), (4, format!("{said}{all_the_same}")));
    let unfollowed = line(Role::Active, |r| {
        there(r);
        let groups = [Prospect::NotTaken(Block::Jeopardy)].into_iter().collect();
        let loss = NextFault::Power(Side::A);
        r.forecasts = vec![Forecast { loss, groups, then: Default::default() }];
    });
    assert_eq!(unfollowed, (4, said.to_owned()));
    let here = line(Role::Backup, |r| {
        r.scripts = vec!["exec:/check\n".to_owned()];
        groups(r, |group| (group.unable, group.condition) = (A_WHILE, Condition::Unready(0)));
    });
    let said = "gw2 serves gateway; gw1: exec:/check fails: this node is not ready to serve";
    assert_eq!(here, (4, format!("{said}{all_the_same}")));
}

#[test]
fn an_address_that_the_kernel_refuses_is_named() {
    let said = line(Role::Backup, |r| {
        r.groups[0].1 = vec!["10.0.0.100/24@eth0".to_owned()];
        groups(r, |group| (group.unable, group.fault) = (A_WHILE, Some(Fault::Refused(0, 13))));
    });
    let wanted = "gw2 serves gateway; gw1 could not take over: the kernel refuses an address of it \
        (10.0.0.100/24@eth0): Permission denied";
    assert_eq!(said, (4, wanted.to_owned()));
}

/// A peer that has just died wakes nobody yet, and nobody is told that it could take over.
#[test]
fn nothing_is_promised_of_a_peer_that_has_just_fallen_silent() {
    for verdict in [Verdict::Dead, Verdict::Doubtful] {
        let told =
            line(Role::Active, |r| (r.node.verdict, r.node.peer) = (verdict, Some(peer(Role::Backup))));
        let said = "gw1 serves gateway; gw2 has just fallen silent: look again in a second";
        assert_eq!(told, (0, said.to_owned()));
    }
}

#[test]
fn an_address_without_its_interface_is_tried_again_when_that_is_there() {
    let (code, said) = line(Role::Backup, |r| {
        r.groups[0].1 = vec!["10.0.0.100/24@eth1 backup".to_owned()];
        groups(r, |group| (group.unable, group.fault) = (A_WHILE, Some(Fault::Refused(0, 19))));
    });
    let wanted = "gw1 could not take over: the kernel refuses an address of it (10.0.0.100/24@eth1 backup): \
        No such device; it is tried again once eth1 is there";
    assert!(code == 4 && said.ends_with(wanted), "{said}");
}
