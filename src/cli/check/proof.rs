//! What `check` says of the paths, of the times until something happens, and of what this kernel lacks.

use std::fmt::{self, Write as _};
use std::path::Path;

use crosswire::config::InJeopardy;
use crosswire::frame::heartbeat_bytes;
use crosswire::pair::PathKind;
use crosswire::quorum::timing::{Margin, Proof, with_drift};
use crosswire::time::Span;

use crate::settings::{PathDevice, Settings, exact, neighbours};
use crate::tty::uart::{MAX_BAUD_WITHOUT_FIFO, Uart};

pub(super) fn write_paths(settings: &Settings, proof: &Proof, out: &mut String) -> fmt::Result {
    let bytes = heartbeat_bytes(settings.paths.len(), settings.groups.len(), settings.interfaces.len());
    writeln!(out, "\nPaths")?;
    for ((path, policy), figures) in settings.paths.iter().zip(&settings.policy.paths).zip(&proof.paths) {
        let interval = exact(policy.timing.interval);
        write!(out, "  {:<8}", path.name)?;
        match &path.device {
            PathDevice::Serial { device, baud } => {
                let load = percent(figures.load_permille);
                writeln!(
                    out,
                    "{} at {baud} baud: {bytes} bytes every {interval}, {load} of the line",
                    device.display()
                )?;
                write_uart_hazard(device, *baud, out)?;
            }
            PathDevice::Lan { interface, local, peer, port, is_crossover } => {
                let by_cable = if *is_crossover { ", by a cable to the peer alone" } else { "" };
                writeln!(
                    out,
                    "{interface}, {local} to {peer}, UDP port {port}{by_cable}: a beat every {interval}"
                )?;
                if !is_crossover
                    && neighbours::can_only_be(interface, *local, *peer)
                    && !has_group_on(settings, interface)
                {
                    writeln!(
                        out,
                        "          WARNING [crossover]: only {0} can be at its other end. If no switch is \
                            between: set link = \"crossover\", or a power loss of {0}, which takes the \
                            carrier away, is never taken for one",
                        settings.peer_name()
                    )?;
                }
            }
        }
    }
    let has = |kind| settings.policy.paths.iter().any(|path| path.kind == kind);
    if !has(PathKind::Serial) || !has(PathKind::Lan) {
        writeln!(
            out,
            "  WARNING [paths]: only one kind of path: what cuts one may cut all, and both nodes then serve \
                at once."
        )?;
    }
    line(out, proof.fastest.interval, "is the shortest interval that they carry, with")?;
    line(out, proof.fastest.late_after, "late_after and")?;
    line(out, proof.fastest.dead_after, "dead_after, on boxes that are never late for as long")
}

/// Timers that fire up to a `tick` late keep beats apart by so much more, at the sender and at the receiver.
pub(super) fn is_late_by_ticks(interval: Span, late_after: Span, tick: Span) -> bool {
    interval + tick + tick > late_after
}

fn has_group_on(settings: &Settings, interface: &str) -> bool {
    settings.groups.iter().flat_map(|group| &group.addresses).any(|address| address.interface == interface)
}

/// Warns of a UART that cannot keep up, or of none at all.
fn write_uart_hazard(device: &Path, baud: u32, out: &mut String) -> fmt::Result {
    match Uart::of_device(device) {
        Some(uart) if uart.is_unknown() => {
            writeln!(
                out,
                "          WARNING [uart]: the driver finds no UART behind it: the board may lack it, or the \
                    BIOS has it disabled"
            )
        }
        Some(uart) if uart.is_too_slow_for(baud) => writeln!(
            out,
            "          WARNING [uart]: its UART ({}) has no FIFO and will lose bytes: use \
                {MAX_BAUD_WITHOUT_FIFO} baud or less on both nodes",
            uart.name()
        ),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn write_silence(settings: &Settings, proof: &Proof, out: &mut String) -> fmt::Result {
    let peer = settings.peer_name();
    writeln!(out, "\nIf {peer} falls silent, counted from its last beat")?;
    line(out, proof.late, "every path is late: a warning, and the probe for its addresses starts")?;
    line(out, proof.detection, &format!("every path is silent: {peer} counts as dead"))?;
    line(out, proof.takeover, "what it served is taken over (1 % later, for clocks that drift)")?;
    if settings.policy.paths.iter().any(|path| path.kind == PathKind::Serial) {
        let frozen = "the same if its modem lines stay on: it stands still; sooner if its kernel lets go";
        line(out, with_drift(proof.slowest_release()), frozen)?;
    }
    let jeopardy = match settings.policy.in_jeopardy {
        InJeopardy::Hold => "nothing moves (in_jeopardy = \"hold\")",
        InJeopardy::Witness => "it is taken over if we see a witness (in_jeopardy = \"witness\")",
        InJeopardy::Neighbours => "it is taken over if a neighbour answers us (in_jeopardy = \"neighbours\")",
        InJeopardy::Takeover => "it is taken over all the same (in_jeopardy = \"takeover\")",
    };
    writeln!(out, "  If a path was broken before, silence proves nothing: {jeopardy}.")?;
    if let Some(to) = settings.vote.filter(|_| cfg!(feature = "witness")) {
        writeln!(
            out,
            "  While the voting witness {to} answers both nodes, none of this is done without its grant, and \
                with it a path that was broken before changes nothing. A power loss that the modem lines \
                show is taken over no sooner then."
        )?;
    }
    let cold_start = exact(settings.policy.cold_start);
    writeln!(
        out,
        "  A box that has heard nobody since it started listens for {cold_start} (cold_start) before it \
            serves."
    )
}

pub(super) fn write_release(settings: &Settings, proof: &Proof, out: &mut String) -> fmt::Result {
    let (me, peer) = (settings.my_name(), settings.peer_name());
    writeln!(
        out,
        "\nIf {peer} no longer hears {me}, counted from the last beat of ours that it acknowledged"
    )?;
    line(out, proof.release_start, "we begin to let go, once its report says so")?;
    line(out, proof.released, "our addresses are gone")?;
    let (Margin::Spare(margin) | Margin::Missing(margin)) = proof.margin;
    line(out, proof.takeover, &format!("{peer} takes over at the earliest: a margin of {}", exact(margin)))?;
    writeln!(out, "\nIf both processes of a node are killed, the kernel removes its addresses")?;
    let lease = exact(settings.policy.lease);
    let every = exact(proof.renewal_every);
    line(
        out,
        proof.lifetime_bound,
        &format!(
            "at the latest, from the last beat of it that arrived (lease {lease}, renewed every {every})"
        ),
    )?;
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if keeps_for_ever(&release) {
        let release = release.trim_end();
        writeln!(
            out,
            "  WARNING [lifetime]: not on this box: Linux {release} keeps IPv4 addresses for ever (3.9 is \
                the first that does not)."
        )?;
    }
    Ok(())
}

/// Whether the kernel is older than Linux 3.9, which ignores the lifetime of an IPv4 address.
pub(super) fn keeps_for_ever(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < (3, 9))
}

pub(super) fn line(out: &mut String, after: Span, what: &str) -> fmt::Result {
    writeln!(out, "  {:>10}  {what}", exact(after))
}

/// `13.4 %` of 134 permille.
fn percent(permille: u64) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}
