use super::*;

const NOT_OURS: &str = "has a src that does not come with it";

fn anchors() -> [Anchor<'static>; 4] {
    let anchor = |ip: &str, prefix, interface| Anchor { ip: ip.parse().unwrap(), prefix, interface };
    [
        anchor("10.0.0.100", 24, None),
        anchor("192.0.2.10", 29, Some("eth1")),
        anchor("198.51.100.1", 32, Some("ppp0")),
        anchor("2001:db8::10", 64, Some("eth1")),
    ]
}

fn draft<'t>(text: &'t str, addresses: &[Anchor<'t>]) -> Result<Draft<'t>, &'static str> {
    parse(text, &ROUTES, false).and_then(|draft| draft.placed(addresses).map_err(|(why, _)| why))
}

fn placed(text: &str) -> Result<(String, String), &'static str> {
    let draft = draft(text, &anchors())?;
    let route = draft.settings(Some("eth0"), str::to_string).unwrap();
    Ok((route.to_string(), route.interface))
}

#[test]
fn what_is_left_out_comes_from_the_address_that_reaches_the_gateway() {
    for (text, whole, interface) in [
        ("default via 192.0.2.9", "default via 192.0.2.9 src 192.0.2.10", "eth1"),
        ("10.9.9.9 via 10.0.0.1", "10.9.9.9/32 via 10.0.0.1 src 10.0.0.100", "eth0"),
        ("10.8.0.0/16 via 10.0.0.1", "10.8.0.0/16 via 10.0.0.1 src 10.0.0.100", "eth0"),
        (
            "default metric 5 src 10.0.0.100 via 192.0.2.9",
            "default via 192.0.2.9 src 10.0.0.100 metric 5",
            "eth1",
        ),
        (
            "10.9.9.9/32 via 203.0.113.1 src 198.51.100.1",
            "10.9.9.9/32 via 203.0.113.1 src 198.51.100.1",
            "ppp0",
        ),
        (
            "default via 192.0.2.9 table 4294967295",
            "default via 192.0.2.9 src 192.0.2.10 table 4294967295",
            "eth1",
        ),
        ("default via 192.0.2.9 table local", "default via 192.0.2.9 src 192.0.2.10 table 255", "eth1"),
        ("default via 192.0.2.9 metric 254", "default via 192.0.2.9 src 192.0.2.10 metric 254", "eth1"),
        ("default via 192.0.2.9 table main", "default via 192.0.2.9 src 192.0.2.10", "eth1"),
        ("default via fe80::1", "default via fe80::1 src 2001:db8::10", "eth1"),
        ("default via fe80::1 dev eth1", "default via fe80::1 src 2001:db8::10", "eth1"),
        ("2001:db8:5::/48 via 2001:db8::1", "2001:db8:5::/48 via 2001:db8::1 src 2001:db8::10", "eth1"),
    ] {
        assert_eq!(placed(text), Ok((format!("route {whole}"), interface.to_string())), "{text}");
    }
}

#[test]
fn routes_that_cannot_be_are_refused() {
    for (text, why) in [
        ("", "has no gateway"),
        ("default", "has no gateway"),
        ("default via", "ends with a word that lacks its value"),
        ("default via eth1", "has something else where an IP address belongs"),
        ("default via 192.0.2.9 tabel 100", "has a word that is not read"),
        ("default via 192.0.2.9 table 0", "has a number that cannot be"),
        ("default via 192.0.2.9 table 4294967296", "has a number that cannot be"),
        ("default via 192.0.2.9 metric 0x", "has a number that cannot be"),
        ("default via 192.0.2.9 table mine", "has a number that cannot be"),
        ("default via 192.0.2.9 dev a/b", "names an interface that cannot be"),
        ("default via 192.0.2.9 via 192.0.2.9", "says the same thing twice"),
        ("default via 192.0.2.9 metric -1", "has a number that cannot be"),
        ("default via 0.0.0.0", "has a gateway that no box can be"),
        ("via 10.0.0.1", "has a word that is not read"),
        ("10.8.0.1/16 via 10.0.0.1", "has something else where a network belongs"),
        ("10.8.0.0/33 via 10.0.0.1", "has something else where a network belongs"),
        ("fd00::/8 via 10.0.0.1", "mixes IPv4 and IPv6"),
        ("default via 192.0.2.9 src 10.0.0.1", NOT_OURS),
    ] {
        assert_eq!(placed(text), Err(why), "{text}");
    }
    let near = &anchors()[..2];
    let far = draft("default via 203.0.113.1", near).err().unwrap();
    assert_eq!(far, "has a gateway that no address of this group reaches");
    let elsewhere = draft("default via 192.0.2.9 dev eth7", &anchors()).err().unwrap();
    assert_eq!(elsewhere, "has a gateway that no address of this group reaches");
    let own = draft("default via 10.0.0.100", near).err().unwrap();
    assert_eq!(own, "has a gateway that no address of this group reaches");
}

fn rule(text: &str) -> Result<String, &'static str> {
    let draft =
        parse(text, &RULES, false).and_then(|draft| draft.placed(&anchors()).map_err(|(why, _)| why))?;
    Ok(draft.settings(Some("eth0"), |name| format!("{name}-here")).unwrap().to_string())
}

#[test]
fn a_rule_says_what_it_selects_and_where_it_leads() {
    for (text, whole) in [
        ("from 192.0.2.10 table 100", "rule from 192.0.2.10/32 priority 19400 table 100"),
        ("from 0.0.0.0/0 iif eth1 priority 0 table 7", "rule priority 19400 table 7 iif eth1"),
        ("table 100 pref 7 to 10.8.0.0/16", "rule to 10.8.0.0/16 priority 7 table 100"),
        (
            "from 2001:db8::/32 to fd00::1 priority 5 table main",
            "rule inet6 from 2001:db8::/32 to fd00::1/128 priority 5 table 254",
        ),
        ("iif eth1 table 7", "rule priority 19400 table 7 iif eth1"),
        ("inet6 iif eth1 table 7", "rule inet6 priority 19400 table 7 iif eth1"),
        ("inet from 192.0.2.10/32 table 7", "rule from 192.0.2.10/32 priority 19400 table 7"),
        ("fwmark 16 table 7", "rule fwmark 0x10/0xffffffff priority 19400 table 7"),
        ("fwmark 0x10/0xf0 table 7", "rule fwmark 0x10/0xf0 priority 19400 table 7"),
    ] {
        assert_eq!(rule(text), Ok(whole.to_string()), "{text}");
    }
    let here =
        parse("iif eth1 table 7", &RULES, false).unwrap().settings(None, |name| format!("{name}-here"));
    assert_eq!(here.unwrap().interface, "eth1-here", "its name on this box, and said by that of the file");
}

#[test]
fn rules_that_cannot_be_are_refused() {
    for (text, why) in [
        ("", "has no table"),
        ("from 192.0.2.10", "has no table"),
        ("from 192.0.2.10 table", "ends with a word that lacks its value"),
        ("from 192.0.2.10 lookup 7", "has a word that is not read"),
        ("table 7 inet6", "has a word that is not read"),
        ("priority 5 pref 5 table 7", "says the same thing twice"),
        ("from 192.0.2.10/24 table 7", "has something else where a network belongs"),
        ("from all table 7", "has something else where a network belongs"),
        ("from 192.0.2.10 to fd00::1 table 7", "mixes IPv4 and IPv6"),
        ("inet6 from 192.0.2.10 table 7", "mixes IPv4 and IPv6"),
        ("fwmark 0x table 7", "has a mark that cannot be"),
        ("fwmark 1/0 table 7", "has a mark that cannot be"),
        ("fwmark +1 table 7", "has a mark that cannot be"),
        ("fwmark 4294967296 table 7", "has a mark that cannot be"),
        ("iif a/b table 7", "names an interface that cannot be"),
    ] {
        assert_eq!(rule(text), Err(why), "{text}");
    }
}

#[test]
fn a_node_that_stands_by_may_go_through_the_other_or_its_own_way() {
    let backup = |text: &'static str| {
        let draft = parse(text, &ROUTES, true)?.placed(&anchors()[..2]).map_err(|(why, _)| why)?;
        let route = draft.settings(Some("eth0"), str::to_string).unwrap();
        Ok((route.to_string(), route.interface))
    };
    for (text, whole, interface) in [
        ("default via 10.0.0.100", "route default via 10.0.0.100", "eth0"),
        ("default via 192.0.2.9 metric 5", "route default via 192.0.2.9 metric 5", "eth1"),
        ("default via 203.0.113.1 dev eth7", "route default via 203.0.113.1", "eth7"),
    ] {
        assert_eq!(backup(text), Ok((format!("{whole} when backup"), interface.to_string())), "{text}");
    }
    let far = backup("default via 203.0.113.1").err();
    assert_eq!(far, Some("has a gateway that no address of this group reaches"));
    assert_eq!(backup("default via 192.0.2.9 src 192.0.2.10").err(), Some(NOT_OURS));
}

#[test]
fn two_rules_clash_where_all_that_one_says_is_said_of_the_other() {
    for (one, other, does_clash) in [
        ("from 192.0.2.10 table 7", "from 192.0.2.10 table 7", true),
        ("from 192.0.2.10 table 7", "from 192.0.2.10 iif eth1 table 7", true),
        ("from 192.0.2.10 table 7", "from 192.0.2.10 fwmark 1 table 7", true),
        ("table 7", "from 192.0.2.10 table 7", true),
        ("from 192.0.2.10 table 7", "from 192.0.2.10 table 7 priority 5", false),
        ("from 192.0.2.10 table 7", "from 192.0.2.10 table 8", false),
        ("from 192.0.2.10 table 7", "from 192.0.2.11 table 7", false),
        ("from 192.0.2.10 table 7", "to 192.0.2.10 table 7", false),
        ("fwmark 1/3 table 7", "fwmark 1 table 7", false),
        ("table 7", "inet6 table 7", false),
    ] {
        let [a, b] = [one, other].map(|text| parse(text, &RULES, false).unwrap());
        assert_eq!((a.clashes(&b), b.clashes(&a)), (does_clash, does_clash), "{one}, {other}");
    }
}
