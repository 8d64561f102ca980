//! The run of the peer whose frames count, and what counts as its echo and as new.

use super::message::{Incarnation, SessionValue};
use super::seal::{Header, Kind};
use super::version::Version;
use crate::config::MAX_PATHS;
use crate::pair::PathId;

/// The peer incarnation whose frames count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adopted {
    pub(super) incarnation: Incarnation,
    /// The highest version in which an authentic frame of it has come.
    pub(super) version: Version,
    /// What its frames must echo.
    pub(super) expects: SessionValue,
    /// Or this: what it had been given last when it was adopted by an earlier value. It may have got that.
    pub(super) expects_too: SessionValue,
    /// What our frames to it echo.
    pub(super) gives: SessionValue,
    /// The number of the message that gave it. One that was sent earlier, and came later by a slower path,
    /// may give a value that its sender has forgotten since.
    pub(super) given_by: u32,
    /// A beat of it has come: it has adopted us too, and the handshake is over.
    pub(super) is_mutual: bool,
    /// Newest number heard, per path.
    pub(super) newest: [u32; MAX_PATHS],
    /// Newest number of an aside, per path. Asides count apart: what acknowledges them would else hide the
    /// beats.
    pub(super) newest_aside: [u32; MAX_PATHS],
}

impl Adopted {
    /// It has sent this, and what it echoes was given to it.
    pub(super) fn is_echoed_by(&self, header: &Header) -> bool {
        self.incarnation == header.incarnation && [self.expects, self.expects_too].contains(&header.echo)
    }

    /// The newest number heard on a path, of what counts together with this kind.
    pub(super) fn newest(&self, path: PathId, kind: Kind) -> u32 {
        let newest = match kind {
            Kind::Hello | Kind::Session | Kind::Beat => &self.newest,
            Kind::Ask | Kind::Tell => &self.newest_aside,
        };
        newest.get(path.index()).copied().unwrap_or(u32::MAX)
    }
}
