//! Why an operator's request is refused, and what to do instead.

use crosswire::reasons::Denial;

/// Why an operator's request is refused, and what to do instead.
pub fn denial(denial: Denial, peer: &str) -> String {
    match denial {
        Denial::NoSuchGroup => "there is no such group; `crosswire status` lists them".to_string(),
        Denial::NotActive => {
            "this node does not serve it: ask on the node that does, or say `takeover` here".to_string()
        }
        Denial::AlreadyActive => "this node serves it already".to_string(),
        Denial::PeerNotHeard => {
            format!(
                "{peer} is not heard on time; if you have seen that it is off, say `takeover GROUP \
                    --peer-is-off`"
            )
        }
        Denial::PeerIsHeard => {
            format!("{peer} is heard, so it is not off: say `takeover` without --peer-is-off")
        }
        Denial::PeerUnable => format!("{peer} cannot serve it now; `crosswire status` says why"),
        Denial::ConfigurationsDiffer => {
            "the configurations of the two nodes differ: make them the same first".to_string()
        }
        Denial::Unable => "this node cannot serve it now; `crosswire status` says why".to_string(),
        Denial::Standby => "this node is in standby: say `crosswire online` first".to_string(),
        Denial::PeerStandby => {
            format!(
                "{peer} is in standby, so nobody would serve: say `crosswire online` there first, or --force \
                    here"
            )
        }
        Denial::Maintenance => {
            "this node is in maintenance: say `crosswire maintenance off` first".to_string()
        }
        Denial::PeerMaintenance => {
            format!("{peer} is in maintenance: say `crosswire maintenance off` there first")
        }
    }
}
