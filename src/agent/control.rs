//! The agent's end of the sockets on which commands ask: a few at a time, one question each. One socket is
//! root's. On the other, members of a group may ask what goes on. They are not trusted: their questions are
//! read one at a time and not too often, and a question that they may not ask counts as none.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crosswire::time::{Instant, Span};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockFlag, recv, send};

use crate::operator::control::{Answer, Question, decode, encode};
use crate::sys::sockets::accept;

/// How many commands may wait for an answer at once, on each of the two sockets.
const MAX_CLIENTS: usize = 4;

/// Longest question: the name of a group, and room.
const MAX_QUESTION_BYTES: usize = 1_024;

/// How long members wait after anything has come from one of them: fifty questions in a second cost a
/// hundredth of one processor, whoever asks them and whatever they are.
const MEMBERS_EVERY: Span = Span::from_ms(20);

/// A question, and whom to answer.
pub struct Asked {
    /// Its connection.
    pub client: OwnedFd,
    /// What it asks.
    pub question: Question,
    /// Whether it came over root's socket.
    pub is_root: bool,
}

/// Both sockets, and the commands that have connected to them.
pub struct Control {
    root: Desk,
    members: Option<Desk>,
    /// Until then, members wait.
    members_at: Instant,
}

impl Control {
    pub fn new(root: OwnedFd, members: Option<OwnedFd>) -> Self {
        Self { root: Desk::new(root), members: members.map(Desk::new), members_at: Instant::ORIGIN }
    }

    /// What to poll.
    pub fn descriptors(&self, now: Instant) -> impl Iterator<Item = BorrowedFd<'_>> {
        let members = self.members.iter().filter(move |_| now >= self.members_at);
        std::iter::once(&self.root).chain(members).flat_map(Desk::descriptors)
    }

    /// When members are listened to again, if they wait.
    pub fn due_at(&self, now: Instant) -> Instant {
        if now < self.members_at { self.members_at } else { Instant::NEVER }
    }

    /// The next question, root's first.
    pub fn next_question(&mut self, now: Instant) -> Option<Asked> {
        if let Look::Asked(client, question) = self.root.look(|_| true) {
            return Some(Asked { client, question, is_root: true });
        }
        let members = self.members.as_mut().filter(|_| now >= self.members_at)?;
        let asked = match members.look(Question::is_for_members) {
            Look::Quiet => return None,
            Look::Noise => None,
            Look::Asked(client, question) => Some(Asked { client, question, is_root: false }),
        };
        self.members_at = now + MEMBERS_EVERY;
        asked
    }
}

/// What a look at a socket has shown.
enum Look {
    /// Nothing has come.
    Quiet,
    /// Somebody has come or gone, or sent what is no question.
    Noise,
    /// A question.
    Asked(OwnedFd, Question),
}

/// A listening socket, and the commands that have connected to it and asked nothing yet, in their order.
struct Desk {
    listener: OwnedFd,
    clients: Vec<OwnedFd>,
}

impl Desk {
    fn new(listener: OwnedFd) -> Self {
        Self { listener, clients: Vec::with_capacity(MAX_CLIENTS + 1) }
    }

    fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.listener.as_fd()).chain(self.clients.iter().map(AsFd::as_fd))
    }

    /// Lets in as many as there are places for, and reads each of them once, up to the first question that
    /// may be asked here. If all places are taken, nobody asks anything and somebody waits at the door, the
    /// first who came makes way.
    fn look(&mut self, may_ask: fn(&Question) -> bool) -> Look {
        let mut look = Look::Quiet;
        while self.clients.len() < MAX_CLIENTS && self.let_in() {
            look = Look::Noise;
        }
        let mut room = [0; MAX_QUESTION_BYTES];
        let mut index = 0;
        while let Some(client) = self.clients.get(index) {
            let read = recv(client.as_raw_fd(), &mut room, MsgFlags::MSG_DONTWAIT);
            if read == Err(Errno::EAGAIN) {
                index += 1;
                continue;
            }
            let client = self.clients.remove(index);
            let question = room.get(..read.unwrap_or(0)).and_then(decode).filter(may_ask);
            match question {
                Some(question) => return Look::Asked(client, question),
                None => look = Look::Noise,
            }
        }
        if self.clients.len() >= MAX_CLIENTS && self.let_in() {
            self.clients.remove(0);
            look = Look::Noise;
        }
        look
    }

    /// Whether anybody came.
    fn let_in(&mut self) -> bool {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let client = accept(&self.listener, flags);
        let is_there = client.is_ok();
        self.clients.extend(client);
        is_there
    }
}

/// Answers, without waiting until the command reads it.
pub fn reply(client: &OwnedFd, answer: &Answer) {
    if let Some(packet) = encode(answer) {
        let _ = send(client.as_raw_fd(), &packet, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use crosswire::frame::aside::Subject;
    use crosswire::quorum::event::Demand;
    use nix::sys::socket::{AddressFamily, SockType, UnixAddr, connect, socket};
    use nix::unistd::getegid;

    use super::*;
    use crate::operator::control::{listen_in, listen_to_members, members_path, socket_path};

    const NOW: Instant = Instant::from_us(1_000_000);

    fn control(run_dir: &Path) -> Control {
        let members = listen_to_members(run_dir, Some(getegid())).expect("a socket");
        Control::new(listen_in(run_dir).expect("a socket"), members)
    }

    /// Somebody who connects and says that; none where the door is full.
    fn somebody(path: &Path, says: &[u8]) -> Option<OwnedFd> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let client = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).expect("a socket");
        connect(client.as_raw_fd(), &UnixAddr::new(path).expect("short")).ok()?;
        if !says.is_empty() {
            send(client.as_raw_fd(), says, MsgFlags::empty()).expect("sent");
        }
        Some(client)
    }

    fn is_sent_away(client: &OwnedFd) -> bool {
        recv(client.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT) == Ok(0)
    }

    #[test]
    fn a_member_is_told_what_goes_on_and_orders_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut control = control(dir.path());
        let demand = Question::Demand { what: Demand::Online, reason: None };
        let may = [Question::Status, Question::Why(9), Question::Peer(Subject::Why, true)];
        let may_not = [demand, Question::Recording { number: 0, from: 0 }];
        let mut now = NOW;
        for (question, is_allowed) in may.iter().zip([true; 3]).chain(may_not.iter().zip([false; 2])) {
            let packet = encode(question).expect("short");
            let client = somebody(&members_path(dir.path()), &packet).expect("a place");
            let asked = control.next_question(now).map(|asked| (asked.question, asked.is_root));
            assert_eq!(asked, is_allowed.then(|| (question.clone(), false)));
            assert!(is_sent_away(&client), "{question:?}");
            let _client = somebody(&socket_path(dir.path()), &packet).expect("a place");
            let asked = control.next_question(now).map(|asked| (asked.question, asked.is_root));
            assert_eq!(asked, Some((question.clone(), true)), "root may ask everything, at once");
            now = now + MEMBERS_EVERY;
        }
    }

    #[test]
    fn whatever_members_send_is_looked_at_fifty_times_in_a_second_and_root_is_answered_all_the_while() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut control, status) = (control(dir.path()), encode(&Question::Status).expect("short"));
        let (members, root) = (members_path(dir.path()), socket_path(dir.path()));
        let mut kept = Vec::new();
        let mut looks = 0;
        for ms in 0..1_000 {
            let now = NOW + Span::from_ms(ms);
            for says in [&[0xff; 300][..], &[], &status, b"x"] {
                kept.extend(somebody(&members, says));
            }
            let is_awake = control.descriptors(now).count() > 1;
            assert_eq!(control.due_at(now) == Instant::NEVER, is_awake, "who is not polled is waited for");
            looks += u32::from(is_awake);
            let _client = somebody(&root, &status).expect("a place");
            assert!(control.next_question(now).expect("root's").is_root);
            let _ = control.next_question(now);
            assert!(control.members.as_ref().is_some_and(|desk| desk.clients.len() <= MAX_CLIENTS));
        }
        assert_eq!(looks, 50);
    }

    #[test]
    fn who_says_nothing_makes_way_and_who_asks_is_answered_in_his_turn() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut control = control(dir.path());
        let path = socket_path(dir.path());
        let silent: Vec<_> = (0..MAX_CLIENTS).map(|_| somebody(&path, &[]).expect("a place")).collect();
        assert!(control.next_question(NOW).is_none());
        let asks = somebody(&path, &encode(&Question::Status).expect("short")).expect("a place");
        assert!(control.next_question(NOW).is_none(), "somebody makes way");
        assert_eq!(control.next_question(NOW).map(|asked| asked.question), Some(Question::Status));
        assert_eq!(silent.iter().map(is_sent_away).collect::<Vec<_>>(), [true, false, false, false]);
        assert!(is_sent_away(&asks), "answered, or so it seems to whoever looks on");
    }

    #[test]
    fn the_socket_is_the_groups_and_a_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, victim) = (members_path(dir.path()), dir.path().join("victim"));
        fs::write(&victim, "precious").expect("written");
        fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).expect("its mode");
        symlink(&victim, &path).expect("a link");
        let socket = listen_to_members(dir.path(), Some(getegid())).expect("a socket");
        let mode = |path: &Path| fs::symlink_metadata(path).expect("it is there").permissions().mode();
        assert_eq!((mode(&path), mode(&victim)), (0o140_660, 0o100_600));
        assert!(socket.is_some());
        assert!(listen_to_members(dir.path(), None).is_ok_and(|socket| socket.is_none()));
        assert!(!path.exists(), "a group that is gone leaves no socket behind");
    }
}
