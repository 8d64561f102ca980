//! `crosswire check`: is the configuration sound, what does it promise, and has this box what it takes?

use std::fmt::{self, Write as _};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crosswire::config::{GroupPolicy, InJeopardy, SafetyRule};
use crosswire::pair::{PathId, PathKind, Side};
use crosswire::quorum::timing::{Margin, Proof};
use crosswire::time::Span;

use super::lans;
use super::option::{flag, option, options};
use super::survey;
use crate::operator::exit::{Exit, complain_of};
use crosswire::frame::message::{Beat, Incarnation, Message, SessionValue};
use crosswire::frame::seal::{Header, crc32, open, pair_id, seal};
use crosswire::frame::{Key, Keyring, Version, heartbeat_bytes};

use crate::operator::words;
use crate::plain;
use crate::settings::{
    ConfigError, FenceMethod, GroupSettings, KeyFile, PathDevice, Script, Settings, StopFailure, exact,
    neighbours,
};
use crate::tty::uart::{MAX_BAUD_WITHOUT_FIFO, Uart};

options! {
    /// Check the configuration and this box, and print the timing proof
    pub struct CheckOptions("check") {
        /// Configuration file
        config: PathBuf = option("--config", "FILE").or("/etc/crosswire/crosswire.toml"),
        /// Which node this box is, if not the one that `uname -n` says (offline: both)
        node: Option<String> = option("--node", "NAME"),
        /// Check the file alone: this is another box
        offline: bool = flag("--offline"),
        /// Say only what is wrong, as JSON
        json: bool = flag("--json"),
    }
}

/// Writes the timing proof; or on standard error, a line each, what is wrong with the file, or what this box
/// lacks: a device, an interface, a script or a good key file, of which the daemon would start without all
/// but the last.
pub fn run(options: &CheckOptions, out: &mut impl Write) -> Exit {
    let found = examine(options);
    let exit = if found.is_ok() { Exit::Done } else { Exit::Configuration };
    let text = match found {
        found if options.json => survey::json_text(&found),
        Ok(note) => note,
        Err(errors) => return complain_of(&errors),
    };
    // A reader that has gone away cannot be told.
    out.write_all(text.as_bytes()).map_or(Exit::Refused, |()| exit)
}

fn examine(options: &CheckOptions) -> Result<String, Vec<ConfigError>> {
    let settings = match &options.node {
        // Another box, which may be neither node: the file has to be sound for both.
        None if options.offline => {
            Settings::load_as(&options.config, Side::B)?;
            Settings::load_as(&options.config, Side::A)?
        }
        node => Settings::load(&options.config, node.as_deref())?,
    };
    let mut note = String::new();
    // Writing into a string cannot fail.
    let _ = write_proof(&settings, &mut note);
    if options.offline {
        return Ok(note);
    }
    for warning in lans::twins(&settings).into_iter().chain(words::answering_beside(&settings.interfaces)) {
        let _ = writeln!(note, "\nWARNING [lan]: {warning}");
    }
    let mut problems = settings.absent();
    match KeyFile::load(&settings.key_file) {
        Ok(keys) => drop(write_keys(&settings, &keys, &mut note)),
        Err(error) => problems.push(ConfigError { code: "key", ..error }),
    }
    if problems.is_empty() {
        survey::write_doubts(&settings, &mut note);
    }
    note.push_str("\nThis box has what it takes.\n");
    if problems.is_empty() { Ok(note) } else { Err(problems) }
}

/// The whole note: paths, what happens when, groups, what remains.
fn write_proof(settings: &Settings, out: &mut String) -> fmt::Result {
    let proof = settings.proof();
    let (me, peer) = (settings.my_name(), settings.peer_name());
    writeln!(out, "{}: pair {}, this is {me}, its peer is {peer}.", settings.file.display(), settings.pair)?;
    write_paths(settings, &proof, out)?;
    write_silence(settings, &proof, out)?;
    write_release(settings, &proof, out)?;
    write_groups(settings, &proof, out)?;
    write_last_resorts(settings, out)?;
    write_secrets(settings, out)
}

/// Passwords in a file that others may read: said, not refused.
fn write_secrets(settings: &Settings, out: &mut String) -> fmt::Result {
    let mode = std::fs::metadata(&settings.file).map_or(0, |found| found.mode());
    let is_open = mode & 0o044 != 0;
    let options = settings.fences.iter().flat_map(|fence| match &fence.method {
        FenceMethod::Program { options, .. } => options.as_slice(),
        FenceMethod::SysRq { .. } | FenceMethod::ResetCable { .. } => &[],
    });
    let fences = options.filter_map(|option| option.split_once('=').map(|(key, _)| key));
    let scripts =
        settings.groups.iter().flat_map(|group| &group.scripts).flat_map(|script| &script.parameters);
    let mut keys = fences.chain(scripts.map(|(key, _)| key.as_str()));
    match keys.find(|key| is_open && is_secret(key)) {
        Some(key) => writeln!(
            out,
            "\nWARNING [secret]: {} holds a secret ({key}) and every user of this box may read it: chmod 600 \
                {0}",
            settings.file.display()
        ),
        None => Ok(()),
    }
}

/// What fence agents, cluster-glue and resource agents call a password.
fn is_secret(key: &str) -> bool {
    const WORDS: [&str; 5] = ["pass", "pwd", "secret", "community", "token"];
    let key = key.to_ascii_lowercase();
    // The name of a program or a file that knows it is none.
    let is_elsewhere = key.ends_with("_script") || key.ends_with("_file");
    WORDS.iter().any(|word| plain::cut(&key, word).is_some()) && !is_elsewhere
}

fn write_paths(settings: &Settings, proof: &Proof, out: &mut String) -> fmt::Result {
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
    Ok(())
}

fn has_group_on(settings: &Settings, interface: &str) -> bool {
    settings.groups.iter().flat_map(|group| &group.addresses).any(|address| address.interface == interface)
}

/// A UART that cannot keep up, or none at all: said, not refused.
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

fn write_silence(settings: &Settings, proof: &Proof, out: &mut String) -> fmt::Result {
    let peer = settings.peer_name();
    writeln!(out, "\nIf {peer} falls silent, counted from its last beat")?;
    line(out, proof.late, "every path is late: a warning, and the probe for its addresses starts")?;
    line(out, proof.detection, &format!("every path is silent: {peer} counts as dead"))?;
    line(out, proof.takeover, "what it served is taken over (1 % later, for clocks that drift)")?;
    let jeopardy = match settings.policy.in_jeopardy {
        InJeopardy::Hold => "nothing moves (in_jeopardy = \"hold\")",
        InJeopardy::Witness => "it is taken over if we see a witness (in_jeopardy = \"witness\")",
        InJeopardy::Takeover => "it is taken over all the same (in_jeopardy = \"takeover\")",
    };
    writeln!(out, "  If a path was broken before, silence proves nothing: {jeopardy}.")?;
    let cold_start = exact(settings.policy.cold_start);
    writeln!(
        out,
        "  A box that has heard nobody since it started listens for {cold_start} (cold_start) before it \
            serves."
    )
}

fn write_release(settings: &Settings, proof: &Proof, out: &mut String) -> fmt::Result {
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

/// Linux before 3.9 takes no notice of the lifetime of an IPv4 address.
fn keeps_for_ever(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < (3, 9))
}

fn line(out: &mut String, after: Span, what: &str) -> fmt::Result {
    writeln!(out, "  {:>10}  {what}", exact(after))
}

fn write_groups(settings: &Settings, proof: &Proof, out: &mut String) -> fmt::Result {
    writeln!(out, "\nGroups")?;
    let all = settings.groups.iter().zip(&settings.policy.groups).zip(&proof.groups);
    for ((group, policy), figures) in all {
        writeln!(out, "  {}: {}", group.name, contents(group, policy, settings))?;
        let takeover = exact(figures.takeover);
        match policy.safety {
            SafetyRule::Probe => writeln!(
                out,
                "    taken from a silent peer {takeover} after its last beat, if the probe is clear"
            )?,
            SafetyRule::Fence => writeln!(
                out,
                "    taken from a silent peer when the fence is confirmed, which is tried {takeover} after \
                    its last beat"
            )?,
            SafetyRule::Lease => {
                let released = exact(figures.released);
                writeln!(
                    out,
                    "    taken from a silent peer {takeover} after its last beat: the slowest release takes \
                        {released}"
                )?;
            }
        }
        if figures.listens > settings.policy.cold_start {
            let (listens, cold_start) = (exact(figures.listens), exact(settings.policy.cold_start));
            writeln!(
                out,
                "    a box that hears nobody serves it after {listens}, not {cold_start}: as long as that \
                    release takes"
            )?;
        }
        write_exclusive(settings, group, policy, out)?;
    }
    writeln!(out, "  Slowest release of all: {}.", exact(proof.slowest_release()))
}

/// How long after a silent peer's last beat the group of that name is taken over.
#[cfg(feature = "import")]
pub fn waits(settings: &Settings, group: &str) -> Option<Span> {
    let index = settings.groups.iter().position(|known| known.name == group)?;
    Some(settings.proof().groups.get(index)?.takeover)
}

/// Scripts that mount or attach something that two boxes must not have at once.
const MOUNTING: [&str; 7] = ["filesystem", "mount", "drbd", "lvm", "raid", "scsi", "zfs"];

/// Whether a script of that name is one of those; what it is told does not matter.
pub fn is_mounting(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    MOUNTING.iter().any(|word| plain::cut(&name, word).is_some())
}

fn mounts(script: &Script) -> bool {
    let name = script.programs.first().and_then(|program| program.file_name());
    name.is_some_and(|name| is_mounting(&name.to_string_lossy()))
}

fn write_exclusive(
    settings: &Settings,
    group: &GroupSettings,
    policy: &GroupPolicy,
    out: &mut String,
) -> fmt::Result {
    let peer = settings.peer_name();
    let is_fenced = policy.safety == SafetyRule::Fence;
    match (policy.is_exclusive, is_fenced, &settings.watchdog) {
        (true, true, _) => Ok(()),
        (true, false, None) => writeln!(
            out,
            "    WARNING [exclusive]: exclusive, without fence or watchdog: never taken from a silent \
                {peer}, only when it hands over or an operator says that it is off"
        ),
        (true, false, Some(_)) => writeln!(
            out,
            "    WARNING [exclusive]: exclusive, and only the watchdog ends a hung {peer}: if both paths are \
                cut while both nodes live, both serve; safety = \"fence\" prevents that"
        ),
        (false, _, _) => match group.scripts.iter().find(|script| mounts(script)) {
            Some(script) => writeln!(
                out,
                "    WARNING [disk]: {} looks like a disk that only one box may have: set exclusive = true, \
                    and safety = \"fence\"",
                script.text
            ),
            None => Ok(()),
        },
    }
}

fn write_last_resorts(settings: &Settings, out: &mut String) -> fmt::Result {
    if settings.groups.iter().any(|group| group.on_stop_failure == StopFailure::SelfFence) {
        let by = if settings.reset.is_some() { "at once" } else { "by its watchdog" };
        writeln!(
            out,
            "\nSelf-fence\n  a box on which a script does not stop is reset {by}, after its addresses are \
                gone"
        )?;
    }
    if let Some(watchdog) = &settings.watchdog {
        let timeout = exact(watchdog.timeout);
        writeln!(
            out,
            "\nWatchdog\n  {}, {timeout}: armed before anything is held",
            watchdog.device.display()
        )?;
        line(
            out,
            settings.watchdog_bound(),
            "a box whose agent, guard or kernel hangs has been reset, from its last beat",
        )?;
    }
    let is_used = settings.policy.groups.iter().any(|group| group.safety == SafetyRule::Fence);
    if !settings.fences.is_empty() {
        writeln!(out, "\nFences: {}; try them with `crosswire fence --test`", settings.fences.len())?;
        if !is_used {
            writeln!(
                out,
                "  WARNING [fence]: no group uses them: set safety = \"fence\" where one is needed"
            )?;
        }
    }
    Ok(())
}

fn contents(group: &GroupSettings, policy: &GroupPolicy, settings: &Settings) -> String {
    let prefer = match policy.prefer {
        Some(side) => format!("prefers {}", settings.names[side.index()]),
        None => "prefers neither node".to_string(),
    };
    let addresses = group.addresses.iter().map(|a| format!("{}/{} on {}", a.ip, a.prefix, a.interface));
    let scripts = group.scripts.iter().map(|script| script.label().to_string());
    let routes = group.routes.iter().map(|route| format!("route {route}"));
    let all: Vec<String> = addresses.chain(routes).chain(scripts).collect();
    format!("{prefer}; {}", all.join(", "))
}

fn write_keys(settings: &Settings, keys: &[Key], out: &mut String) -> fmt::Result {
    let ids: Vec<String> = keys.iter().map(|key| key.id.to_string()).collect();
    let first = ids.first().map_or("?", String::as_str);
    let file = settings.key_file.display();
    writeln!(out, "\nKeys\n  {file}: ids {}; {first} authenticates what we send", ids.join(", "))?;
    let verdict = if authenticates(settings, keys) {
        "was sealed with it and opened; one that was changed was refused"
    } else {
        "could NOT be sealed and opened: this processor or this binary is not as it must be"
    };
    writeln!(out, "  a frame {verdict}")
}

/// A heartbeat on this very processor, from message to bytes and back, and one that somebody has changed.
fn authenticates(settings: &Settings, keys: &[Key]) -> bool {
    let keyring = Keyring::new(&settings.pair, keys);
    let header = Header {
        version: Version::NEWEST,
        pair: pair_id(&settings.pair),
        sender: settings.me,
        path: PathId(0),
        incarnation: Incarnation([1; 8]),
        echo: SessionValue([1; 4]),
        number: 1,
    };
    let mut body = seal(&header, &Message::Beat(Beat::largest(2, 1, 2)), &keyring);
    let is_whole = open(&body).is_ok_and(|frame| frame.verify(&keyring).is_ok() && frame.decode().is_ok());
    // The authenticator stands before the checksum, which is made to fit again.
    let Some((changed, crc)) = body.split_last_chunk_mut::<4>() else { return false };
    changed.last_mut().into_iter().for_each(|byte| *byte ^= 1);
    *crc = crc32(changed).to_le_bytes();
    is_whole && open(&body).is_ok_and(|frame| frame.verify(&keyring).is_err())
}

/// `13.4 %` of 134 permille.
fn percent(permille: u64) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// A pair of which this box has everything: the loopback interface and a pseudo-terminal will do.
    const GOOD: &str = r#"pair = "gateway"
key = "DIR/key"
[node.gw1]
lan = "127.0.0.1"
[node.gw2]
lan = "127.0.0.2"
[serial]
device = "TTY"
[lan]
interface = "lo"
[group.gateway]
prefer = "gw1"
addresses = ["10.0.0.100/24", "10.0.0.101/24"]
[group.web]
addresses = ["10.0.0.80/24"]
safety = "lease"
"#;

    const NOTE: &str = "\
DIR/crosswire.toml: pair gateway, this is gw1, its peer is gw2.

Paths
  serial  TTY at 19200 baud: 69 bytes every 250 ms, 14.4 % of the line
  lan     lo, 127.0.0.1 to 127.0.0.2, UDP port 694: a beat every 250 ms

If gw2 falls silent, counted from its last beat
      750 ms  every path is late: a warning, and the probe for its addresses starts
     1500 ms  every path is silent: gw2 counts as dead
     1515 ms  what it served is taken over (1 % later, for clocks that drift)
  If a path was broken before, silence proves nothing: nothing moves (in_jeopardy = \"hold\").
  A box that has heard nobody since it started listens for 60 s (cold_start) before it serves.

If gw2 no longer hears gw1, counted from the last beat of ours that it acknowledged
     1450 ms  we begin to let go, once its report says so
     1500 ms  our addresses are gone
     1515 ms  gw2 takes over at the earliest: a margin of 15 ms

If both processes of a node are killed, the kernel removes its addresses
     5600 ms  at the latest, from the last beat of it that arrived (lease 3 s, renewed every 1 s)

Groups
  gateway: prefers gw1; 10.0.0.100/24 on lo, 10.0.0.101/24 on lo
    taken from a silent peer 1515 ms after its last beat, if the probe is clear
  web: prefers neither node; 10.0.0.80/24 on lo
    taken from a silent peer 5656 ms after its last beat: the slowest release takes 5600 ms
  Slowest release of all: 5600 ms.
";

    /// What `check` says of `text`, with the directory called `DIR`.
    fn check(text: &str, key: Option<&str>) -> (Exit, String) {
        check_as(text, key, false)
    }

    fn check_as(text: &str, key: Option<&str>, offline: bool) -> (Exit, String) {
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().display().to_string();
        let config = directory.path().join("crosswire.toml");
        let pty = nix::pty::openpty(None, None).unwrap();
        let tty = nix::unistd::ttyname(&pty.slave).unwrap().display().to_string();
        fs::write(&config, text.replace("DIR", &name).replace("TTY", &tty)).unwrap();
        if let Some(key) = key {
            write_key(&directory.path().join("key"), key);
        }
        let options = CheckOptions { config, node: Some("gw1".to_string()), offline, json: false };
        let (exit, said) = match examine(&options) {
            Ok(note) => (Exit::Done, note),
            Err(errors) => (Exit::Configuration, errors.iter().map(|error| format!("{error}\n")).collect()),
        };
        (exit, said.replace(&name, "DIR").replace(&tty, "TTY"))
    }

    fn write_key(file: &Path, text: &str) {
        fs::write(file, text).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }

    #[test]
    fn kernels_that_keep_addresses_for_ever_are_known_by_their_release() {
        for (release, keeps) in [
            ("2.6.32-5-686", true),
            ("3.2.0", true),
            ("3.8.13\n", true),
            ("3.9.0", false),
            ("6.18.5+", false),
            ("", false),
        ] {
            assert_eq!(keeps_for_ever(release), keeps, "{release}");
        }
    }

    #[test]
    fn a_good_box_gets_the_whole_proof() {
        let secret = "00112233445566778899aabbccddeeff";
        let (exit, said) = check(GOOD, Some(&format!("3 {secret}\n0 {secret}\n")));
        let keys = "\nKeys\n  DIR/key: ids 3, 0; 3 authenticates what we send\n  a frame was sealed with it \
            and opened; one that was changed was refused\n\nThis box has what it takes.\n";
        assert_eq!(said, format!("{NOTE}{keys}"));
        assert_eq!(exit, Exit::Done);
        assert_eq!(exit.code(), 0);
    }

    #[test]
    fn what_the_box_lacks_is_all_that_is_said_unless_the_file_alone_is_asked_for() {
        let text = GOOD.replace("TTY", "/dev/no-such-tty");
        let (exit, said) = check(&text, None);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        assert!(
            lines[0].starts_with("DIR/crosswire.toml:8:10: there is no serial port \"/dev/no-such-tty\""),
            "{said}"
        );
        assert!(lines[1].starts_with("DIR/key: the key file cannot be read"), "{said}");
        assert_eq!(exit, Exit::Configuration);
        let proof = NOTE.replace("TTY", "/dev/no-such-tty");
        assert_eq!(check_as(&text, None, true), (Exit::Done, proof));
    }

    #[test]
    fn a_bad_file_gets_its_errors_and_nothing_else() {
        let (exit, said) = check(&GOOD.replace("prefer = \"gw1\"", "prefer = \"gw3\"\nadresses = []"), None);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(
            lines,
            [
                "DIR/crosswire.toml:12:10: there is no node \"gw3\" to prefer; use \"gw1\" or \"gw2\"",
                "DIR/crosswire.toml:13:1: unknown key \"adresses\" in [group.gateway]; did you \
                    mean \"addresses\"?",
            ]
        );
        assert_eq!(exit, Exit::Configuration);
    }

    #[test]
    fn a_single_kind_of_path_is_remarked_upon() {
        let (_, said) = check_as(&GOOD.replace("[serial]\ndevice = \"TTY\"\n", ""), None, true);
        assert!(said.contains("WARNING [paths]: only one kind of path"), "{said}");
    }

    #[test]
    fn a_closed_pipe_is_no_panic() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("crosswire.toml");
        fs::write(&config, GOOD.replace("DIR", "/etc").replace("TTY", "/dev/ttyS0")).unwrap();
        let options = CheckOptions { config, node: Some("gw1".to_string()), offline: true, json: false };
        assert_eq!(run(&options, &mut Closed), Exit::Refused);
    }

    #[test]
    fn the_command_line_is_read() {
        let parse = |words: &[&str]| crate::cli::parse::options::<CheckOptions>(words).unwrap();
        let options = parse(&["--config", "/x.toml", "--node", "gw2"]);
        assert_eq!((options.config, options.node), (PathBuf::from("/x.toml"), Some("gw2".to_string())));
        let options = parse(&[]);
        assert_eq!((options.config, options.node), (PathBuf::from("/etc/crosswire/crosswire.toml"), None));
    }
}
