//! The part of `status` on third parties: witnesses, the one that votes, neighbours.

use std::fmt::{self, Write};

use crosswire::reasons::Verdict;
use crosswire::status::VoteStatus;
use crosswire::vote::{GroupBits, group_bit};

use super::control::Report;
use super::testimony::{UNANSWERED, is_seen};
use super::words;
use crate::gather::Gather;

/// Writes the witnesses, and which node does not see them.
pub fn write_witnesses(report: &Report, out: &mut String) -> fmt::Result {
    let [_, peer] = report.names();
    if !report.witnesses.is_empty() || report.vote.is_some() {
        writeln!(out, "\nwitnesses")?;
    }
    if let Some((name, vote)) = report.vote.as_ref().zip(report.node.vote.as_ref()) {
        writeln!(out, "  {name} {}", vote_line(vote, report))?;
    }
    for (name, witness) in report.witnesses.iter().zip(&report.node.witnesses) {
        write!(out, "  {name:<9} ")?;
        match witness.answered {
            Some(_) if is_seen(&report.node, witness) => write!(out, "seen")?,
            Some(ago) => write!(out, "NOT SEEN for {ago}")?,
            None => write!(out, "NOT SEEN since the start")?,
        }
        match witness.peer_misses {
            Some(lasts) => writeln!(out, "; {peer} has NOT SEEN it for {lasts}")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

/// Writes on which interfaces neighbours are heard, here and there.
pub fn write_neighbours(report: &Report, out: &mut String) -> fmt::Result {
    let [_, peer] = report.names();
    if !report.node.neighbours.is_empty() {
        writeln!(out, "\nneighbours")?;
    }
    for neighbours in &report.node.neighbours {
        let name = report.interface(neighbours.interface);
        write!(out, "  {name:<9} {}", words::interface_state(neighbours.state))?;
        match neighbours.peer {
            Some(theirs) if report.node.verdict == Verdict::Present => {
                writeln!(out, "; on {peer}: {}", words::interface_state(theirs))?
            }
            Some(_) | None => writeln!(out)?,
        }
    }
    Ok(())
}

/// What is known of the voting witness.
fn vote_line(vote: &VoteStatus, report: &Report) -> String {
    let (answered, [_, peer]) = (vote.answered, report.names());
    let silence = match answered {
        None => Some("it has never answered this node".to_owned()),
        // Where both nodes count on it, it only fails to count while it is silent.
        Some(ago) if vote.is_agreed || ago > UNANSWERED => {
            Some(format!("it has not answered this node for {ago}"))
        }
        Some(_) => None,
    };
    let mut said = match (vote.does_count, vote.is_waiting, vote.is_needed, silence) {
        (true, _, _, _) => "votes; both nodes count on it".to_owned(),
        (false, true, _, _) => "votes; it was started lately and grants nothing for half a minute".to_owned(),
        (false, false, true, Some(silence)) => format!("NEEDED, BUT SILENT: {silence}"),
        (false, false, true, None) => format!("votes; whether {peer} counts on it is not known"),
        (false, false, false, Some(silence)) => format!("DOES NOT COUNT: {silence}"),
        (false, false, false, None) => {
            format!(
                "DOES NOT COUNT for {}: it answers this node, and {peer} does not count on it",
                vote.lasts
            )
        }
    };
    for (groups, whom) in [(vote.granted, "this node"), (vote.granted_to_peer, peer)] {
        let names = groups_in(report, groups).join(", ");
        if !names.is_empty() {
            said += &format!("; {names} granted to {whom}");
        }
    }
    said
}

/// The names of these groups.
pub fn groups_in(report: &Report, bits: GroupBits) -> Vec<&str> {
    let named = report.groups.iter().enumerate().filter(|(index, _)| bits & group_bit(*index) != 0);
    named.map(|(_, (name, _))| name.as_str()).gather()
}

#[cfg(test)]
mod tests {
    use crosswire::pair::Role;
    use crosswire::time::Span;

    use super::super::assessment::tests::{voting, well};
    use super::*;

    /// What is said of a witness is what this node goes by.
    #[test]
    fn a_witness_that_keeps_a_group_from_being_taken_is_not_said_to_count_for_nothing() {
        let line = |vote: VoteStatus| vote_line(&vote, &well(Role::Backup));
        assert_eq!(line(voting()), "votes; both nodes count on it");
        let lost = VoteStatus { does_count: false, ..voting() };
        let unknown = VoteStatus { is_agreed: false, ..lost };
        let agreed_upon = VoteStatus { is_needed: false, ..unknown };
        let never = |vote| VoteStatus { answered: None, ..vote };
        let late = |vote| VoteStatus { answered: Some(Span::from_s(9)), ..vote };
        for (vote, said) in [
            (lost, "NEEDED, BUT SILENT: it has not answered this node for"),
            (late(unknown), "NEEDED, BUT SILENT: it has not answered this node for 9"),
            (never(unknown), "NEEDED, BUT SILENT: it has never answered this node"),
            (unknown, "votes; whether gw2 counts on it is not known"),
            (never(agreed_upon), "DOES NOT COUNT: it has never answered this node"),
            (late(agreed_upon), "DOES NOT COUNT: it has not answered this node for 9"),
            (agreed_upon, "DOES NOT COUNT for 60"),
        ] {
            assert!(line(vote).starts_with(said), "{said}: {}", line(vote));
        }
    }
}
