//! The run of the peer whose frames count: what it must echo, and which of its numbers are new.

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
    /// Or this: the value that it was given last before it was adopted by an earlier one. It may have
    /// received that.
    pub(super) expects_too: SessionValue,
    /// What our frames to it echo.
    pub(super) gives: SessionValue,
    /// The number of the message that brought `gives`. A message that was sent earlier, and comes later by a
    /// slower path, may bring a value that its sender has forgotten.
    pub(super) given_by: u32,
    /// A beat of it has come: it has adopted us too, and the handshake is over.
    pub(super) is_mutual: bool,
    /// Newest number heard, per path.
    pub(super) newest: [u32; MAX_PATHS],
    /// Newest number of an aside, per path. Asides count apart: acknowledging one would hide the beats.
    pub(super) newest_aside: [u32; MAX_PATHS],
}

impl Adopted {
    /// It sent this frame, which echoes a value that we gave it.
    pub(super) fn is_echoed_by(&self, header: &Header) -> bool {
        self.incarnation == header.incarnation && [self.expects, self.expects_too].contains(&header.echo)
    }

    /// The newest number heard on a path, in the count of this kind; [`u32::MAX`] if the path is not there.
    pub(super) fn newest(&self, path: PathId, kind: Kind) -> u32 {
        let newest = match kind {
            Kind::Hello | Kind::Session | Kind::Beat => &self.newest,
            Kind::Ask | Kind::Tell => &self.newest_aside,
        };
        newest.get(path.index()).copied().unwrap_or(u32::MAX)
    }
}
