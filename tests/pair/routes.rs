//! Routes that only the active node has, with a service address as their source.

use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use crosswire::pair::Side;

use crate::lab::clock::now;
use crate::lab::setup::{GROUP, Setup, VIP, client_address};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene};

/// The service address outside.
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 78, 0, 100));
/// A host beyond the gateway outside; both are the client's.
const BEYOND: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5));
const PORT: u16 = 9_999;

/// The address from which a node's packets to the world beyond come; none if it has no way there.
fn source_at(scene: &Scene, side: Side) -> Option<IpAddr> {
    let ask = || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect((BEYOND, PORT))?;
        socket.send(b"hello")?;
        Ok::<_, io::Error>(socket.local_addr()?.ip())
    };
    scene.namespace(side).run_in(ask).expect("the node's namespace").ok()
}

fn expect_only(scene: &Scene, side: Side) {
    scene.expect_soon(&format!("{side:?} alone has the route"), PATIENCE, |scene| {
        source_at(scene, side) == Some(OUTSIDE) && source_at(scene, side.peer()).is_none()
    });
}

/// Whether a node's kernel has the service address outside.
fn has_address(scene: &Scene, side: Side) -> bool {
    scene.namespace(side).rtnl().addresses().expect("addresses").iter().any(|held| held.ip == OUTSIDE)
}

/// Operator: a gateway with a default route that only the active node may have, and whose packets carry the
/// service address. Fault: the address, and with it the route, is removed by hand; the metric is changed; a
/// handover; guard and agent are killed. Required: a host beyond sees the service address; the route comes
/// back, changes without a blink of the address, moves, and is gone with its address.
#[test]
fn the_route_goes_where_the_address_goes() {
    testing::in_fair_lab(|| {
        let addresses = vec![format!("{VIP}/24@eth0"), format!("{OUTSIDE}/24@eth1")];
        let outside = client_address(1);
        let more = format!("routes = [\"default via {outside} metric 5\"]");
        let mut scene = Scene::serving_with(Setup {
            addresses,
            second_lan: true,
            prefer: Some(Side::A),
            more,
            ..Setup::default()
        });
        let client = scene.client();
        let index = scene.switch().node_interface(scene.client_port(1));
        client.rtnl().add_address(index, BEYOND, 32, None).expect("a host beyond");
        let beyond =
            client.run_in(|| UdpSocket::bind((BEYOND, PORT))).expect("a namespace").expect("a socket");
        beyond.set_read_timeout(Some(PATIENCE)).expect("a limit");
        expect_only(&scene, Side::A);
        let (_, from) = beyond.recv_from(&mut [0; 16]).expect("something arrives");
        assert_eq!(from.ip(), OUTSIDE, "what the host beyond sees");
        let route = format!("route default via {outside} src {OUTSIDE} metric 5");
        assert!(scene.status(Side::A).to_string().contains(&route), "{}", scene.status(Side::A));

        let index = scene.switch().node_interface(scene.port(Side::A, 1));
        scene.namespace(Side::A).rtnl().delete_address(index, OUTSIDE, 24).expect("it was there");
        expect_only(&scene, Side::A);

        let since = now();
        for side in [Side::B, Side::A] {
            scene.rewrite(side, "metric 5", "metric 6");
            let said = scene.say(side, &["reload"]);
            let other = route.replace("metric 5", "metric 6");
            let expected =
                format!("group {GROUP}: {route} is removed\ngroup {GROUP}: {other} is added\ndone\n");
            assert_eq!((said.code, said.text), (Some(0), expected));
        }
        expect_only(&scene, Side::A);
        scene.settle(Side::A);
        scene.assert_nothing_moved(Side::A, since);

        let said = scene.say(Side::A, &["handover", GROUP]);
        assert_eq!(said.code, Some(0), "{said:?}");
        expect_only(&scene, Side::B);

        scene.kill(Side::B).expect("both processes die");
        scene.expect_soon("the kernel removes the address", PATIENCE, |scene| !has_address(scene, Side::B));
        assert_eq!(source_at(&scene, Side::B), None, "the route went with the address");
        expect_only(&scene, Side::A);
        scene.assert_never_both();
    });
}
