//! Heartbeats as they pass on the wire: when each arrived at a node's Ethernet.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crosswire::pair::Side;
use crosswire::time::{Instant, Span};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt};
use nix::sys::time::TimeVal;

use crate::lab::clock::now;
use crate::lab::frames::is_udp_of;
use crate::lab::setup::{LAN_PORT, node_address};
use crate::scene::Scene;

/// Where the source address stands in an Ethernet frame that carries IPv4.
const SOURCE: std::ops::Range<usize> = 26..30;

/// Listens to what one node hears of the other.
pub struct Beats {
    has_ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Instant>>>,
}

impl Beats {
    /// Listens to what comes from `side`, at its peer.
    pub fn of(scene: &Scene, side: Side) -> Self {
        let socket =
            scene.namespace(side.peer()).run_in(open).expect("the namespace").expect("a packet socket");
        let has_ended = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&has_ended);
        let source = node_address(side, 0).to_string();
        let thread = thread::spawn(move || listen(&socket, &source, &told));
        Self { has_ended, thread: Some(thread) }
    }

    /// Ends listening; the longest time between two beats.
    pub fn largest_gap(mut self) -> Span {
        self.has_ended.store(true, Ordering::SeqCst);
        let heard = self.thread.take().expect("asked once").join().expect("a list");
        assert!(heard.len() > 10, "only {} beats", heard.len());
        heard.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap_or_default()
    }
}

fn open() -> nix::Result<OwnedFd> {
    let fd = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
    setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::new(0, 100_000))?;
    Ok(fd)
}

fn listen(socket: &OwnedFd, source: &str, has_ended: &AtomicBool) -> Vec<Instant> {
    let (mut heard, mut frame) = (Vec::new(), [0; 2_048]);
    while !has_ended.load(Ordering::SeqCst) {
        let Ok(length) = recv(socket.as_raw_fd(), &mut frame, nix::sys::socket::MsgFlags::empty()) else {
            continue;
        };
        let frame = &frame[..length];
        let from = frame.get(SOURCE).map(|ip| format!("{}.{}.{}.{}", ip[0], ip[1], ip[2], ip[3]));
        if is_udp_of(frame, LAN_PORT) && from.as_deref() == Some(source) {
            heard.push(now());
        }
    }
    heard
}
