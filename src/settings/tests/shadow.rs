//! `shadow = true`.

use super::{GOOD, PathDevice, asked, good_as, load_as};
use crate::settings::values::is_name;
use crate::settings::{PathSettings, Settings};
use crosswire::frame::seal::pair_id;

/// No frame, lock or file of a shadow pair can be taken for one of a pair that serves.
#[test]
fn a_shadow_is_a_pair_of_its_own_on_the_lan_alone() {
    let text = GOOD.replacen("pair", "shadow = true\npair", 1);
    let (live, shadow) = (good_as(GOOD, "gw1"), good_as(&text, "gw1"));
    assert!(shadow.is_shadow && !live.is_shadow);
    assert_eq!((live.pair.as_str(), shadow.pair.as_str()), ("gateway", "gateway+shadow"));
    assert!(!is_name(&shadow.pair), "no file can name a pair so");
    assert_ne!(pair_id(&live.pair), pair_id(&shadow.pair));
    let ports = |settings: &Settings| {
        let port = |path: &PathSettings| match path.device {
            PathDevice::Serial { .. } => None,
            PathDevice::Lan { port, .. } => Some(port),
        };
        settings.paths.iter().map(port).collect::<Vec<_>>()
    };
    assert_eq!((ports(&live), ports(&shadow)), (vec![None, Some(694)], vec![Some(10_694)]));
    assert_eq!(shadow.policy.paths.len(), 1);
    assert_eq!(shadow.policy.digest, good_as(&text, "gw2").policy.digest, "two shadows agree");
    let voting = text.replacen("[lan]", "[quorum]\nwitness = ['vote:10.0.0.9']\n[lan]", 1);
    let voting = good_as(&voting, "gw1");
    assert!(voting.vote.is_none() && !voting.policy.has_vote, "no witness has a key of a shadow");
    let high = text.replacen("[lan]", "[lan]\nport = 65535", 1);
    assert_eq!(ports(&good_as(&high, "gw1")), [Some(55_535)]);
    assert_eq!(ports(&good_as(&text.replacen("true", "false", 1), "gw1")), ports(&live));
    let said = load_as(
        &text.replacen("[lan]\ninterface = \"eth0\"\n", "", 1).replacen("lan = ", "#", 2),
        &asked("gw1"),
    );
    let line = "f:1:1: shadow = true, but there is no LAN, and a shadow leaves serial ports alone; \
                add [lan] with its \
                interface, or remove shadow";
    assert!(said.as_ref().is_err_and(|lines| lines.iter().any(|said| said == line)), "{said:?}");
}
