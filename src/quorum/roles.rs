//! A node's role for one group: a table of (role, event) to role.

use crate::pair::Role;

/// What can happen to a role.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum RoleEvent {
    /// We decided to take the group.
    Take,
    /// We decided to let it go.
    LetGo,
    /// The guard confirmed: addresses held, scripts running.
    Serving,
    /// The guard confirmed: addresses gone; scripts still stopping.
    AddressesGone,
    /// The guard confirmed: nothing is held.
    Released,
    /// The same, after a release for which this node is to blame: it must not take the group again at once.
    ReleasedUnfit,
    /// The order to take it came too late and was not carried out.
    TooLate,
    /// It could not be taken; nothing is held.
    CannotServe,
    /// Its addresses are gone, but a script could not be stopped; the stop is ordered again. The peer must
    /// not start that script until it has stopped.
    CannotStop,
    /// Its release could not be confirmed, or the guard refused to take it and may have a part of it in hand;
    /// the release is ordered, or ordered again.
    NotReleased,
    /// A faulty node may try again.
    Retry,
}

impl RoleEvent {
    /// Every event, in the order of the table.
    pub const ALL: [Self; 11] = [
        Self::Take,
        Self::LetGo,
        Self::Serving,
        Self::AddressesGone,
        Self::Released,
        Self::ReleasedUnfit,
        Self::TooLate,
        Self::CannotServe,
        Self::CannotStop,
        Self::NotReleased,
        Self::Retry,
    ];
}

/// The role after an event; `None` where the event makes no sense and is ignored: an outcome that nobody
/// waits for any more must not move anything.
pub const fn next(role: Role, event: RoleEvent) -> Option<Role> {
    use RoleEvent as E;
    match (role, event) {
        (Role::Backup, E::Take) => Some(Role::Acquiring),
        (Role::Acquiring | Role::Active, E::LetGo) => Some(Role::Releasing),
        (Role::Acquiring, E::Serving) => Some(Role::Active),
        (Role::Acquiring, E::TooLate) => Some(Role::Backup),
        (Role::Acquiring, E::CannotServe) => Some(Role::Faulty),
        (Role::Acquiring, E::NotReleased) => Some(Role::Releasing),
        (Role::Releasing, E::AddressesGone | E::NotReleased) => Some(Role::Releasing),
        (Role::Acquiring | Role::Releasing, E::CannotStop) => Some(Role::Releasing),
        (Role::Releasing, E::Released) => Some(Role::Backup),
        (Role::Releasing, E::ReleasedUnfit) => Some(Role::Faulty),
        (Role::Faulty, E::Retry) => Some(Role::Backup),
        (
            Role::Backup,
            E::LetGo
            | E::Serving
            | E::AddressesGone
            | E::Released
            | E::ReleasedUnfit
            | E::TooLate
            | E::CannotServe
            | E::CannotStop
            | E::NotReleased
            | E::Retry,
        )
        | (Role::Acquiring, E::Take | E::AddressesGone | E::Released | E::ReleasedUnfit | E::Retry)
        | (
            Role::Active,
            E::Take
            | E::Serving
            | E::AddressesGone
            | E::Released
            | E::ReleasedUnfit
            | E::TooLate
            | E::CannotServe
            | E::CannotStop
            | E::NotReleased
            | E::Retry,
        )
        | (Role::Releasing, E::Take | E::LetGo | E::Serving | E::TooLate | E::CannotServe | E::Retry)
        | (
            Role::Faulty,
            E::Take
            | E::LetGo
            | E::Serving
            | E::AddressesGone
            | E::Released
            | E::ReleasedUnfit
            | E::TooLate
            | E::CannotServe
            | E::CannotStop
            | E::NotReleased,
        ) => None,
    }
}
