//! What is not as it should be today, and why. The test fails on an entry that nothing needs: strike it out.

/// Files over the limit, each with the seam along which it comes apart.
pub const LONG: &[(&str, &str)] = &[
    ("src/guard/kernel/addresses.rs", "what the kernel is told and what it answers"),
    ("src/guard/tests/mod.rs", "one file for each part of the guard"),
    ("src/workbench/lab/mod.rs", "the laboratory and what it is asked"),
    ("tests/decision.rs", "one file for each kind of story"),
    ("tests/neighbourhood.rs", "one file for each kind of story"),
    ("tests/pair/cable.rs", "a broken cable and a cable of one way"),
    ("tests/peers.rs", "one file for each kind of story"),
];

/// Where `unsafe` is: one operation in a block, each with its argument.
pub const UNSAFE: &[(&str, &str)] = &[
    ("src/agent/tests.rs", "counts what the allocator is asked for"),
    ("src/guard/scripts/run_tests.rs", "forks, and handles a signal"),
    ("src/guard/testing.rs", "runs a test in a namespace"),
    ("src/settings/keys.rs", "a test sees that key material is wiped"),
    ("src/sys/calls.rs", "filters of system calls have no safe interface"),
    ("src/sys/capabilities.rs", "capabilities have no safe interface"),
    ("src/sys/datagrams.rs", "many datagrams with one system call"),
    ("src/sys/interface.rs", "asks for index, address and flags by ioctl"),
    ("src/sys/process.rs", "forks, ends, and handles signals"),
    ("src/sys/scheduling.rs", "scheduling and its limits have no safe interface"),
    ("src/sys/sockets.rs", "filters, and descriptors that ride along"),
    ("src/sys/thread_name.rs", "a function that musl would make larger"),
    ("src/sys/tty.rs", "ports and their lines by ioctl"),
    ("src/sys/watchdog.rs", "asks and sets the watchdog by ioctl"),
    ("src/workbench/lab/address_log.rs", "joins all groups of rtnetlink"),
    ("src/workbench/lab/cable.rs", "the speed of a pseudo-terminal by ioctl"),
    ("src/workbench/lab/clock.rs", "gives the clock's thread its scheduling class"),
    ("src/workbench/lab/entry.rs", "enters a namespace between fork and exec"),
    ("src/workbench/lab/modem.rs", "answers system calls in the place of a UART"),
    ("src/workbench/lab/namespace.rs", "enters a namespace between fork and exec"),
    ("src/workbench/lab/packet.rs", "packet sockets have no safe interface"),
    ("src/workbench/lab/process.rs", "prepares a process between fork and exec"),
    ("tests/cli/ports.rs", "gives a child a terminal of its own"),
    ("tests/cli/running.rs", "leaves a descriptor open on purpose"),
    ("tests/lab/cable.rs", "opens a pseudo-terminal for itself alone"),
    ("tests/lab/coming_and_going.rs", "forks, and says to itself which part it is"),
    ("tests/pair/scarcity.rs", "sets the limits of another process"),
    ("tests/pair/starved.rs", "takes the processor from everybody"),
    ("tests/stream.rs", "counts what the allocator is asked for"),
];

/// Uses against the order of the folders.
pub const UPWARDS: &[(&str, &str)] = &[
    ("src/guard/kernel/ethernet.rs -> agent", "its test reads what the agent would"),
    ("src/guard/kernel/probe.rs -> agent", "its test reads what the agent would"),
    ("src/quorum/node/tests.rs -> station", "its nodes hear each other by frames"),
    ("src/guard/testing.rs -> workbench", "the tests of the guard run in the laboratory"),
];

/// Names that two public types of one world share.
pub const TWINS: &[(&str, &str)] = &[
    ("binary: Watchdog", "as it is configured, and as it is fed"),
    ("library: Effect", "each core has its own"),
    ("library: Effects", "each core has its own"),
    ("library: Event", "each core has its own"),
    ("library: Kind", "of a message, and of a record"),
    ("library: Next", "of a restart, and of a held group"),
    ("library: Word", "of a node to its peer, and of an agent to its guard"),
];

/// Files that use each other in a circle, and why they do.
pub const CIRCLES: &[(&str, &str)] = &[];

/// What the guard decodes.
pub const DECODING: &[(&str, &str)] =
    &[("src/guard/agent_process/link.rs: take_from_bytes", "the fixed orders, `ToGuard`")];
