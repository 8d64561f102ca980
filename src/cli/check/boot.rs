//! Services that the init system starts as well: they would run on both nodes.

use std::fmt::Write as _;
use std::path::Path;

use crate::settings::{Script, Settings, Standard};
use crate::sys::directory::names_in;

/// What SysV init starts in the run levels in which a gateway works, and OpenWrt's procd: names such as
/// `S01dnsmasq`.
const SYSV: [&str; 5] = ["etc/rc2.d", "etc/rc3.d", "etc/rc4.d", "etc/rc5.d", "etc/rc.d"];
/// Where systemd keeps what was enabled, by what wants it: `multi-user.target.wants/dnsmasq.service`.
const SYSTEMD: &str = "etc/systemd/system";

/// Warns of the scripts of groups that this box starts at boot.
pub(super) fn write_doubly_started(settings: &Settings, out: &mut String) {
    let scripts = settings.groups.iter().flat_map(|group| &group.scripts);
    for script in scripts.filter(|script| is_started_at_boot(Path::new("/"), script)) {
        // Writing into memory cannot fail.
        let _ = writeln!(
            out,
            "\nWARNING [boot]: {} is started at boot too, so that it runs on both nodes: disable it in \
                the init system of each",
            script.label()
        );
    }
}

/// Whether the init system starts it, by the links below `root`.
fn is_started_at_boot(root: &Path, script: &Script) -> bool {
    let is_of_boot = match script.standard {
        Standard::Lsb | Standard::Ha | Standard::Systemd => true,
        Standard::Ocf | Standard::Exec => false,
    };
    let Some(service) = script.service().filter(|_| is_of_boot) else { return false };
    let unit = if service.contains('.') { service.to_owned() } else { format!("{service}.service") };
    let is_link = |name: &String| name.strip_prefix('S').and_then(|name| name.get(2..)) == Some(service);
    let systemd = root.join(SYSTEMD);
    let is_wanted = |target: &String| systemd.join(target).join(&unit).symlink_metadata().is_ok();
    SYSV.iter().any(|level| names_in(&root.join(level)).iter().any(is_link))
        || names_in(&systemd).iter().any(is_wanted)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use crosswire::time::Span;

    use super::*;

    fn script(standard: Standard, program: &str, unit: Option<&str>) -> Script {
        let mut script = Script::plain("x".into(), standard, program.into(), Span::from_s(1));
        script.arguments.extend(unit.map(str::to_owned));
        script
    }

    #[test]
    fn what_the_init_system_starts_is_known_by_its_links() {
        let root = tempfile::tempdir().expect("a directory");
        for link in [
            "etc/rc2.d/S01dnsmasq",
            "etc/rc3.d/K01named",
            "etc/rc.d/S19firewall",
            "etc/systemd/system/multi-user.target.wants/nginx.service",
            "etc/systemd/system/sockets.target.requires/ftp.socket",
        ] {
            let link = root.path().join(link);
            fs::create_dir_all(link.parent().expect("a parent")).expect("directories");
            symlink("/nowhere", link).expect("a link");
        }
        let systemctl = "/bin/systemctl";
        for (standard, program, unit, expected) in [
            (Standard::Lsb, "/etc/init.d/dnsmasq", None, true),
            (Standard::Systemd, systemctl, Some("dnsmasq"), true),
            (Standard::Lsb, "/etc/init.d/dns", None, false),
            (Standard::Lsb, "/etc/init.d/named", None, false),
            (Standard::Ha, "/etc/init.d/firewall", None, true),
            (Standard::Systemd, systemctl, Some("nginx"), true),
            (Standard::Systemd, systemctl, Some("nginx.service"), true),
            (Standard::Lsb, "/etc/init.d/nginx", None, true),
            (Standard::Systemd, systemctl, Some("ftp.socket"), true),
            (Standard::Systemd, systemctl, Some("ftp"), false),
            (Standard::Exec, "/etc/init.d/dnsmasq", None, false),
            (Standard::Ocf, "/usr/lib/ocf/resource.d/heartbeat/nginx", None, false),
        ] {
            let script = script(standard, program, unit);
            assert_eq!(is_started_at_boot(root.path(), &script), expected, "{program} {unit:?}");
        }
    }
}
