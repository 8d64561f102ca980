//! What is wrong with the LANs of this box, as far as its own kernel and one question tell.

use std::time::Duration;

use nix::unistd::read;

use crate::agent::probe_replies;
use crate::gather::Gather;
use crate::guard::kernel::{ethernet, probe};
use crate::operator::words;
use crate::settings::{Settings, neighbours};

/// How long answers may take.
const PATIENCE: Duration = Duration::from_millis(300);

/// A sentence for each interface on which somebody answers with our own hardware address for an address that
/// this box does not have. Empty without root.
pub fn twins(settings: &Settings) -> Vec<String> {
    let Ok(sender) = ethernet::Sender::open() else { return Vec::new() };
    let names = &settings.interfaces;
    let listeners: Vec<_> = names.iter().map(|name| probe::listeners(settings, name)).gather();
    for group in &settings.groups {
        // Other checks report what cannot be asked.
        let _ = probe::send(&sender, settings, &group.addresses);
    }
    std::thread::sleep(PATIENCE);
    let twin_of = |listener: &ethernet::Listener| {
        let mut room = [0; 256];
        // This ends: only what the socket's buffer holds is waiting.
        while let Ok(length) = read(&listener.socket, &mut room) {
            let answer = probe_replies::parse(room.get(..length).unwrap_or_default(), listener.mac);
            if answer.is_some_and(|answer| answer.mac == listener.mac && !neighbours::is_own(answer.ip)) {
                return Some(listener.mac);
            }
        }
        None
    };
    let twins = names.iter().zip(listeners).filter_map(|(name, listeners)| {
        let mac = listeners.iter().flat_map(|(_, listener)| listener).find_map(twin_of)?;
        Some(words::twin(name, mac, settings.peer_name()))
    });
    twins.gather()
}
