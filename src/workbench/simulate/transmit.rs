//! From a node's port to its peer's buffers.

use crosswire::frame::delimit::wrap;
use crosswire::frame::{Body, heartbeat_bytes};
use crosswire::pair::{PathId, PathKind, Side};
use crosswire::quorum::timing;
use crosswire::time::Span;

use super::wire::{Frame, Stamp, damage};
use super::world::{ANY_RUN, LAN_TAKES, What, World};

/// Offset 16 of the header, low byte first.
fn count_of(body: &[u8]) -> u32 {
    body.get(16..20).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// Offset 12: the session value that it echoes. Zero: none.
fn does_echo(body: &[u8]) -> bool {
    body.get(12..16).is_some_and(|echo| echo != [0; 4])
}

impl World {
    pub(super) fn transmit(&mut self, from: Side, path: PathId, body: &Body) {
        self.frames += 1;
        let index = path.index();
        let stamp = Stamp {
            digest: self.boxes[from.index()].started_with.2,
            runs: [self.boxes[from.index()].agent_run, self.watch.hearing[from.index()].adopted],
            number: self.frames,
            count: count_of(body),
            is_session: body.first().is_some_and(|first| first & 0x0f == 2) && does_echo(body),
            is_beat: body.first().is_some_and(|first| first & 0x0f == 3),
            terms: self.watch.held_terms(from),
            sent_at: self.now,
            acked: self.watch.hearing[from.index()].newest_sent_at,
            surely_acked: self.watch.hearing[from.index()].surely_acknowledges(),
            witnesses: self.seen_witnesses(from),
            is_leaving: self.watch.is_leaving[from.index()],
            troubled_since: self.watch.troubled_since[from.index()],
            dark: self.watch.dark[from.index()],
        };
        match self.kind(path) {
            PathKind::Serial => self.transmit_serial(from, path, body, stamp),
            PathKind::Lan => {
                let bytes = body.to_vec();
                let copies = 1 + u8::from(
                    self.chance.below(1_000) < self.links[index].directions[from.index()].duplicate_permille,
                );
                for _ in 0..copies {
                    if self.links[index].lets_through(from, &mut self.chance) {
                        let delay = self.links[index].directions[from.index()].delay;
                        let takes = LAN_TAKES + Span::from_us(self.chance.below(delay.as_us() + 1));
                        let frame = Frame { path, bytes: bytes.clone(), stamp: Some(stamp) };
                        self.schedule(takes, from.peer(), ANY_RUN, What::Arrive(frame));
                    }
                }
            }
        }
    }

    /// Sends a frame by cable. A port that has not sent the last frame yet takes no other one.
    fn transmit_serial(&mut self, from: Side, path: PathId, body: &Body, stamp: Stamp) {
        let mut bytes = wrap(body).to_vec();
        let baud = self.setup.bauds[path.index()];
        let policy = &self.setup.policy;
        let limit = heartbeat_bytes(policy.paths.len(), policy.groups.len(), 1 + policy.groups.len());
        let line_time = |bytes: u64| timing::line_time(bytes, baud);
        let direction = &mut self.links[path.index()].directions[from.index()];
        if direction.busy_until.since(self.now) > line_time(limit) {
            return;
        }
        direction.busy_until = direction.busy_until.max(self.now) + line_time(bytes.len() as u64);
        let takes = direction.busy_until.since(self.now);
        let is_damaged = damage(&mut bytes, direction.bit_errors, &mut self.chance);
        let stamp = Some(stamp).filter(|_| !is_damaged);
        let link = &self.links[path.index()];
        if link.is_looped[from.index()] {
            self.schedule(takes, from, ANY_RUN, What::Arrive(Frame { path, bytes, stamp: None }));
        } else if link.lets_through(from, &mut self.chance) {
            self.schedule(takes, from.peer(), ANY_RUN, What::Arrive(Frame { path, bytes, stamp }));
        }
    }

    /// Sends once more what was recorded on its way to a side.
    pub(super) fn replay(&mut self, path: PathId, to: Side) {
        let frames: Vec<Frame> = self.recorded[path.index()][to.index()].iter().cloned().collect();
        for (number, frame) in (1u64..).zip(frames) {
            let frame = Frame { stamp: None, ..frame };
            self.schedule(Span::from_ms(3).fraction(number, 1), to, ANY_RUN, What::Arrive(frame));
        }
    }
}
