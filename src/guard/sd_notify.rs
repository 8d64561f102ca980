//! What we tell the service manager that started us, if it wants to know: that we are ready, that we live,
//! that we are about to end. The protocol is that of sd_notify(3): lines in datagrams to a socket that the
//! environment names.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crosswire::time::{Instant, Span};
use log::warn;

/// A service manager that listens.
pub struct ServiceManager {
    socket: UnixDatagram,
    /// How often it wants to hear that we live; never if it does not want that.
    every: Span,
    next: Instant,
}

impl ServiceManager {
    /// The service manager that the environment names.
    pub fn of_environment() -> Option<Self> {
        let patience = std::env::var_os("WATCHDOG_USEC");
        Self::listening_at(std::env::var_os("NOTIFY_SOCKET")?, patience)
    }

    /// `patience_us`: it ends us after so many microseconds without a sign of life. We give one every third
    /// of that, so that one may be late, and one more.
    fn listening_at(name: OsString, patience_us: Option<OsString>) -> Option<Self> {
        let address = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
            _ => SocketAddr::from_pathname(&name),
        };
        let connected = address.and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            socket.connect_addr(&address)?;
            Ok(socket)
        });
        let patience_us = patience_us.and_then(|text| text.to_str()?.parse().ok());
        let every = patience_us.map_or(Span::ZERO, |us| Span::from_us(us).fraction(1, 3));
        match connected {
            Ok(socket) => Some(Self { socket, every, next: Instant::ORIGIN }),
            Err(error) => {
                warn!("the service manager does not listen at {}: {error}", name.display());
                None
            }
        }
    }

    /// Says that everything is open, and that the agent runs.
    pub fn tell_ready(&self) {
        self.tell(b"READY=1");
    }

    /// Says that we hand over and end.
    pub fn tell_stopping(&self) {
        self.tell(b"STOPPING=1");
    }

    /// When the next sign of life is due.
    pub fn deadline(&self) -> Instant {
        if self.every == Span::ZERO { Instant::NEVER } else { self.next }
    }

    /// Gives a sign of life, if one is due.
    pub fn tell_alive(&mut self, now: Instant) {
        if now >= self.deadline() {
            self.next = now + self.every;
            self.tell(b"WATCHDOG=1");
        }
    }

    /// A service manager that does not read is not waited for.
    fn tell(&self, line: &[u8]) {
        let _ = self.socket.send(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ms(ms: u64) -> Instant {
        Instant::ORIGIN + Span::from_ms(ms)
    }

    fn told(manager: &UnixDatagram) -> Vec<String> {
        let mut room = [0; 64];
        std::iter::from_fn(|| {
            manager.recv(&mut room).ok().map(|length| String::from_utf8_lossy(&room[..length]).into_owned())
        })
        .collect()
    }

    #[test]
    fn it_is_told_that_we_are_ready_alive_and_about_to_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("a socket");
        manager.set_nonblocking(true).expect("set");
        let mut service_manager =
            ServiceManager::listening_at(path.into(), Some("3000000".into())).expect("it listens");
        service_manager.tell_ready();
        for ms in (0..2_500).step_by(100) {
            service_manager.tell_alive(at_ms(ms));
        }
        service_manager.tell_stopping();
        assert_eq!(told(&manager), ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]);
        assert_eq!(service_manager.deadline(), at_ms(3_000));
    }

    #[test]
    fn one_that_asks_for_no_sign_of_life_wakes_nobody() {
        let name = format!("crosswire-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let manager = UnixDatagram::bind_addr(&address).expect("a socket");
        manager.set_nonblocking(true).expect("set");
        let mut service_manager =
            ServiceManager::listening_at(format!("@{name}").into(), None).expect("it listens");
        service_manager.tell_alive(at_ms(5));
        assert_eq!((service_manager.deadline(), told(&manager).len()), (Instant::NEVER, 0));
    }

    #[test]
    fn who_is_not_there_is_not_told() {
        assert!(ServiceManager::listening_at("/nowhere/notify".into(), None).is_none());
    }
}
