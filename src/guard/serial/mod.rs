//! The paths to the peer: serial ports, and the sockets of LAN paths.

pub mod ports;
