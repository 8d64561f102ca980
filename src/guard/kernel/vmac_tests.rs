//! Macvlans on real kernels.

use netlink_packet_core::{Emitable, Parseable};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkInfo, LinkMessage, MacVlanMode,
};
use nix::mount::{MsFlags, mount};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::guard::kernel::netlink::Netlink;
use crate::guard::testing::{Veth, address, in_namespace, rename, set_up};

const RTM_GETLINK: u16 = 18;
const MAC: [u8; 6] = [2, 0, 0x5e, 0, 1, 0x33];

fn vmac() -> Vmac {
    Vmac::new(Some(MAC), "lab", "gateway", "near")
}

fn group() -> [VirtualAddress; 1] {
    [VirtualAddress { vmac: Some(vmac()), ..address("10.9.0.100/24@near") }]
}

fn addresses() -> Addresses {
    Addresses::open(crosswire::time::Span::from_s(60)).expect("a socket")
}

fn index(name: &str) -> u32 {
    if_nametoindex(name).expect("an interface")
}

fn run(kind: u16, flags: u16, link: &LinkMessage) -> Option<LinkMessage> {
    let mut body = vec![0; link.buffer_len()];
    link.emit(&mut body);
    let mut shown = None;
    let request = Request { kind, flags, body };
    let answers = Netlink::open().expect("a socket").ask(&[request], &mut |payload| {
        shown = LinkMessage::parse(payload).ok();
    });
    assert_eq!(answers, [Ok(())]);
    shown
}

/// What the kernel shows of an interface.
fn shown(name: &str) -> Vec<LinkAttribute> {
    let mut link = LinkMessage::default();
    link.header.index = index(name);
    run(RTM_GETLINK, 0, &link).expect("an interface").attributes
}

fn set_mtu(name: &str, mtu: u32) {
    let mut link = LinkMessage::default();
    link.header.index = index(name);
    link.attributes = vec![LinkAttribute::Mtu(mtu)];
    run(RTM_NEWLINK, 0, &link);
}

fn private_mode() -> Vec<LinkInfo> {
    let mode = InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Private)]);
    vec![LinkInfo::Kind(InfoKind::MacVlan), LinkInfo::Data(mode)]
}

/// Makes a macvlan by hand.
fn make(name: &str, below: &str, mac: [u8; 6]) {
    let mut link = LinkMessage::default();
    link.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Link(index(below)),
        LinkAttribute::Address(mac.to_vec()),
        LinkAttribute::LinkInfo(private_mode()),
    ];
    run(RTM_NEWLINK, NLM_F_CREATE, &link);
}

/// Our macvlan is in mode bridge on the interface that has the name now.
fn assert_is_well() {
    let shown = shown(vmac().name());
    assert!(shown.contains(&LinkAttribute::Link(index("near"))), "{shown:?}");
    assert!(shown.contains(&LinkAttribute::Mtu(1_500)), "{shown:?}");
    let mode = InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)]);
    let has_mode = |info: &Vec<LinkInfo>| {
        info.iter().any(|info| {
            matches!((info, &mode), (LinkInfo::Data(InfoData::MacVlan(all)),
            InfoData::MacVlan(wanted)) if all.contains(&wanted[0]))
        })
    };
    let is_bridge = shown.iter().any(|one| matches!(one, LinkAttribute::LinkInfo(info) if has_mode(info)));
    assert!(is_bridge, "{shown:?}");
}

#[test]
fn the_mtu_follows_the_interface_below() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut addresses = addresses();
        assert_eq!(addresses.keep_vmacs(&group(), false), Ok(()));
        for is_up in [false, true] {
            set_mtu("near", 1_200);
            assert!(shown(vmac().name()).contains(&LinkAttribute::Mtu(1_200)), "the kernel lowers it");
            set_mtu("near", 1_500);
            assert_eq!(addresses.keep_vmacs(&group(), is_up), Ok(()));
            assert_is_well();
        }
    });
}

#[test]
fn one_on_another_interface_or_of_another_mode_is_made_anew() {
    in_namespace(|| {
        let _veths = [Veth::up("near", "far"), Veth::up("near2", "far2")];
        let mut addresses = addresses();
        for is_up in [false, true] {
            assert_eq!(addresses.keep_vmacs(&group(), is_up), Ok(()));
            for (from, to) in [("near", "other"), ("near2", "near"), ("other", "near2")] {
                set_up(from, false);
                rename(from, to);
                set_up(to, true);
            }
            assert_eq!(addresses.keep_vmacs(&group(), is_up), Ok(()));
            assert_is_well();
        }
        addresses.remove_vmac(vmac().name());
        make(vmac().name(), "near", MAC);
        assert_eq!(addresses.keep_vmacs(&group(), false), Ok(()));
        assert_is_well();
    });
}

/// What everybody may see of this namespace, below a directory.
fn with_sysfs(test: impl FnOnce(&str)) {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("sys");
    std::fs::create_dir(&path).expect("made");
    unshare(CloneFlags::CLONE_NEWNS).expect("mounts of our own");
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private");
    if let Err(errno) = mount(Some("sysfs"), &path, Some("sysfs"), MsFlags::empty(), none) {
        assert!(std::env::var_os("CI").is_none(), "no sysfs: {errno}");
        // A container may hide parts of it.
        return eprintln!("nothing is proved: there is no sysfs of one's own ({errno})");
    }
    test(&root.path().display().to_string());
    nix::mount::umount(&path).expect("unmounted");
}

#[test]
fn whose_name_it_is_and_who_has_its_hardware_address_is_seen() {
    in_namespace(|| {
        let _veths = [Veth::up("near", "far"), Veth::up("near2", "far2")];
        let mut addresses = addresses();
        with_sysfs(|root| {
            let said = || vmac().lack(root, "near").map(|(what, _)| what).unwrap_or_default();
            assert_eq!(said(), "");
            for is_up in [false, true] {
                assert_eq!(addresses.keep_vmacs(&group(), is_up), Ok(()));
                assert_eq!(said(), "", "it is ours");
            }
            assert_eq!(addresses.keep_vmacs(&group(), false), Ok(()));
            make("vrrp.52", "near2", MAC);
            set_up("vrrp.52", true);
            make("vrrp.51", "near", MAC);
            assert_eq!(said(), "", "that one is down, or on another interface");
            set_up("vrrp.51", true);
            assert!(said().contains("vrrp.51"), "{}", said());
            set_up("vrrp.51", false);
            addresses.remove_vmac(vmac().name());
            rename("near2", vmac().name());
            assert!(said().contains("which another interface"), "{}", said());
        });
    });
}
