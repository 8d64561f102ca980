//! One file per command.

pub(crate) mod check;
pub(crate) mod exit;
pub(crate) mod keygen;
