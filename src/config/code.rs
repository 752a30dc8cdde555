//! The kinds of findings: a stable name for tools and for `check --explain`, and what each usually leads to.

use super::source::Weight;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $slug:literal, $weight:ident;)*) => {
        /// The kind of a finding. The doc comment is its explanation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Code { $($(#[doc = $doc])+ $name,)* }

        impl Code {
            /// Every kind.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its stable name.
            pub(crate) fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug,)* }
            }

            /// The kind of that name.
            pub(crate) fn named(slug: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|c| c.slug() == slug)
            }

            /// What it usually leads to; a finding may weigh differently.
            pub(crate) fn weight(self) -> Weight {
                match self { $(Self::$name => Weight::$weight,)* }
            }

            /// Why it is a finding and what to do about it.
            pub(crate) fn explanation(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc, "\n"),+),)* }
            }
        }
    };
}

codes! {
    /// So many findings were made that the rest is not shown.
    /// Remedy: Mend the first ones; they usually cause the others.
    TooMany = "too-many", Note;
    /// The file of `-f` does not exist, or is a directory, or has an execute permission bit, which keepalived does not
    /// read. `-t` says so and exits 0, the daemon does not start.
    /// Remedy: Check the path; `chmod a-x FILE`.
    NoFile = "no-file", NoFile;
    /// A file exists, but the user who runs this may not read it.
    /// Remedy: Run as root, or give the user read permission on the file and search permission on its directories.
    Unreadable = "unreadable", Fatal;
    /// The pattern of `-f` matches more than one file. All are read, in sorted order, as if they were one.
    /// Remedy: Name one file, and let it `include` the others.
    SeveralFiles = "several-files", Complaint;
    /// A file, or what sequences, definitions and includes make of it, is beyond any sensible size. Reading ends there, and
    /// the daemon does not start with it.
    /// Remedy: Look for a `~SEQ` with too large an end, a definition that refers to itself, or files that include each
    /// other without end.
    TooLarge = "too-large", Unusable;
    /// A line holds more than 1022 characters. keepalived drops the first 1023 and reads the rest as a line of its own;
    /// that is true for comments too.
    /// Remedy: Split the line; values of several lines are made with `$NAME=... \`.
    LineTooLong = "line-too-long", Complaint;
    /// A line holds a NUL byte and is ignored. The file is probably not text, was cut by a full disk, or is UTF-16.
    /// Remedy: Write the file anew; `tr -d '\000'` removes the bytes.
    NulByte = "nul-byte", Complaint;
    /// A line ends inside double quotes: a `#` or `!` behind the quote is no comment, a brace is no brace. There are no
    /// quotes over several lines.
    /// Remedy: Close the quote. A quote cannot be part of a word; there are no escapes for it.
    UnterminatedQuote = "unterminated-quote", Complaint;
    /// A `"` has no counterpart; its word and the rest of the statement are ignored.
    /// Remedy: Close the quote, or remove it.
    UnmatchedQuote = "unmatched-quote", Complaint;
    /// `~SEQ`, `~SEQx` or `~LST` cannot be understood; the line is ignored.
    /// Remedy: Write `~SEQ(var, end) text`, `~SEQ(var, start, end) text`, `~SEQ(var, start, step, end) text` or
    /// `~LST(var, value, ...) text`. The step must lead from start to end, a word of a list holds no blank.
    BadSequence = "bad-sequence", Complaint;
    /// A predefined name is used with arguments that it does not take.
    /// Remedy: Write `${_RANDOM}`, `${_RANDOM MIN}`, `${_RANDOM MIN MAX}` or `${_ENV NAME}`.
    BadDefinition = "bad-definition", Complaint;
    /// Replacing a `$NAME` would make the line longer than the 1022 characters that keepalived reads, or would never
    /// end. The reference stays as it is.
    /// Remedy: Look for a definition that refers to itself; make a long value one of several lines.
    ExpansionTooLong = "expansion-too-long", Log;
    /// An `include` names something that does not exist or cannot be read. Whether that is an error depends on
    /// `includer`, `includem`, `includew`, `includeb`, `includea`, on `include_check` and on `-e`; without them what is
    /// missing is left out silently at the next start, too.
    /// Remedy: Check the path, which is relative to the directory of the including file; files with an execute
    /// permission bit are not read.
    Include = "include", Include;
    /// A file includes itself, directly or through others. The inner `include` is left out.
    /// Remedy: Remove one of the `include` statements; a pattern such as `*.conf` also matches the file that it stands
    /// in.
    IncludeLoop = "include-loop", Complaint;
    /// No keyword of this block has that name. The statement is ignored, and its block with all that is in it.
    /// Remedy: Mind the spelling: keywords are case-sensitive, and each belongs into one block. If a whole series is
    /// unknown, a brace before it is missing or one too many.
    UnknownKeyword = "unknown-keyword", Complaint;
    /// A `{` follows a statement that has no block. What it holds is read as part of the enclosing block, and its `}`
    /// closes it again.
    /// Remedy: Remove the pair of braces, or write the missing keyword before them.
    UnexpectedOpen = "unexpected-open", Complaint;
    /// A keyword that opens a block is not followed by `{`. What follows is read as its block.
    /// Remedy: Write the `{` behind the keyword, or on the next line.
    MissingOpen = "missing-open", Complaint;
    /// A `}` closes nothing. Often a block before it was closed too early, so that its last statements are unknown
    /// keywords of the block around it. The daemon runs without them.
    /// Remedy: Remove this `}`, or the one before it that closes its block too early.
    ExtraClose = "extra-close", Complaint;
    /// A block is never closed. keepalived closes it at the end of the file; all that follows the block was read as
    /// part of it.
    /// Remedy: Write the `}` at the place that is shown, which indentation and keywords make probable.
    MissingClose = "missing-close", Complaint;
    /// A keyword lacks its argument. keepalived stops reading here with exit status 2, in `-t` as in the daemon, which
    /// does not start.
    /// Remedy: Write the argument, or remove the keyword.
    MissingArgument = "missing-argument", Missing;
    /// A keyword lacks its value and is ignored; its default is in force.
    /// Remedy: Write the value, or remove the keyword.
    NoValue = "no-value", Complaint;
    /// Words stand where none are expected; they are ignored.
    /// Remedy: Remove them; words with blanks need double quotes.
    ExtraArgument = "extra-argument", Complaint;
    /// A block without entries has no effect.
    /// Remedy: Write its entries, one per line, or remove it.
    EmptyBlock = "empty-block", Complaint;
    /// A word is not a number. Numbers are decimal, without unit: `3s`, `0x10`, `1e3` are none. If digits begin the
    /// word, the daemon may use them where `-t` refuses.
    /// Remedy: Write digits only, with one decimal point at most where fractions are allowed.
    InvalidNumber = "invalid-number", Complaint;
    /// A number is outside its range; it is ignored and the default is in force, unless the message says otherwise.
    /// Remedy: Choose a value in the range that the finding names.
    OutOfRange = "out-of-range", Complaint;
    /// A number is finer than the protocol or the timer; the nearest possible value is used.
    /// Remedy: Write the value that is used, so that file and behaviour agree.
    Rounded = "rounded", Complaint;
    /// A word is none of `on off true false yes no`, in lower case. The statement is ignored.
    /// Remedy: Write one of them, or no word where that means on.
    InvalidBoolean = "invalid-boolean", Complaint;
    /// A word is not an address. IPv4 needs all four decimal parts without leading zeros; names and `%scope` are not
    /// taken.
    /// Remedy: Write the address in full.
    InvalidAddress = "invalid-address", Complaint;
    /// A word is none of those that are possible here; the statement is ignored, unless the message says otherwise.
    /// Remedy: Write one of the words that the finding names; they are case-sensitive.
    BadValue = "bad-value", Complaint;
    /// A keyword or word has another name nowadays. It works, but `-t` exits 5.
    /// Remedy: Use the new name; both 2.2.7 and 2.4.3 know it unless the release notes say otherwise.
    Deprecated = "deprecated", Complaint;
    /// A statement may stand only once; one of them counts, as the message says.
    /// Remedy: Remove all but one.
    Repeated = "repeated", Complaint;
    /// The keyword is understood and checked, but the feature is not built yet: nothing happens.
    /// Remedy: If you depend on the feature, stay with keepalived for this machine, or wait for a release that has it.
    NoEffectYet = "no-effect-yet", Note;
    /// The statement is understood, and nothing depends on it any more, as the message says.
    /// Remedy: None is needed; it may go.
    NoEffect = "no-effect", Note;
    /// A word that a line of this kind does not know; it is ignored.
    /// Remedy: Mind the spelling and the order of the line, which the finding shows; one address, route or rule stands
    /// on a line.
    UnknownWord = "unknown-word", Complaint;
    /// A setting that cannot matter here; it is ignored.
    /// Remedy: Remove it, or add the setting that gives it a meaning.
    Useless = "useless", Complaint;
    /// A name is longer than the kernel or the protocol takes: 15 characters for interfaces and processes, 8 for
    /// `auth_pass`. It is cut or ignored.
    /// Remedy: Choose a shorter one; a password that is cut must be cut alike on all routers.
    TooLong = "too-long", Complaint;
    /// A name or an address that may stand only once stands a second time; the second is ignored.
    /// Remedy: Rename it or remove it. Of two instances with one name only the first runs.
    Duplicate = "duplicate", Complaint;
    /// An interface does not exist on this machine. Without `dynamic_interfaces` the daemon does not start with it.
    /// Remedy: Check the name with `ip link`. If the interface comes later, set `dynamic_interfaces` in `global_defs`.
    NoInterface = "no-interface", Unusable;
    /// An address is of the other family than its instance or its server; it is ignored.
    /// Remedy: Put IPv4 and IPv6 addresses into instances of their own, or the second family into
    /// `virtual_ipaddress_excluded`.
    WrongFamily = "wrong-family", Complaint;
    /// A script cannot be run, or not safely: its path, its permissions or its user. It is disabled; a tracker without
    /// its script does nothing.
    /// Remedy: Check path and execute permission, and name its user with `script_user`. A command with arguments stands
    /// in quotes; unquoted words behind it are user and group.
    Script = "script", Log;
    /// Scripts are configured, but `enable_script_security` is not: whoever can replace a script that root runs is
    /// root. `-t` exits 6, the daemon runs.
    /// Remedy: Put `enable_script_security` and `script_user` into `global_defs`; scripts and the directories above
    /// them must be writable by root only.
    ScriptSecurity = "script-security", Security;
    /// The file with a key of `auth_hmac` can be read by more than its owner.
    /// Remedy: `chmod 600 FILE`, or use a systemd credential.
    ReadableKey = "readable-key", Security;
    /// Something is named that is not defined before this place; the reference is ignored. Trackers must be defined
    /// before they are used.
    /// Remedy: Mind the spelling, and move the definition above its use.
    NotFound = "not-found", Complaint;
    /// An instance lacks its `virtual_router_id`, or it was not valid. The daemon does not start with it.
    /// Remedy: Write `virtual_router_id` 1 to 255, the same on all routers of the group and unique on the link.
    NoVrid = "no-vrid", Unusable;
    /// An instance lacks its `interface`, or it cannot be used. The daemon does not start with it.
    /// Remedy: Write `interface` with a name that `ip link` shows; loopback is not possible.
    NoInterfaceGiven = "no-interface-given", Unusable;
    /// Two instances would be the same virtual router on the wire: same interface, family, group and
    /// `virtual_router_id`. The daemon does not start with them.
    /// Remedy: Give each its own `virtual_router_id`.
    SameVrid = "same-vrid", Unusable;
    /// An instance has no virtual address. Version 3 and strict mode cannot be without; version 2 sends an empty list.
    /// Remedy: Write `virtual_ipaddress`, or `no_virtual_ipaddress` if it is meant.
    NoAddress = "no-address", Complaint;
    /// Two settings contradict each other; the message says which one is dropped.
    /// Remedy: Remove the one that is not meant.
    Conflict = "conflict", Complaint;
    /// A sync group has too few members: with none it is removed, with one there is nothing to synchronise.
    /// Remedy: List the instances in `group`, each with a name that exists; or remove the sync group.
    SmallGroup = "small-group", Complaint;
    /// A virtual server lacks a setting, for which a default is used.
    /// Remedy: Write the setting, so that file and behaviour agree.
    Defaulted = "defaulted", Complaint;
    /// A virtual server has no usable real server and is removed.
    /// Remedy: Add a `real_server`, and look at findings about those that are there.
    NoRealServer = "no-real-server", Complaint;
    /// The network namespace of `net_namespace` does not exist or may not be joined. Nothing is read, and the daemon
    /// ends with exit status 0.
    /// Remedy: `ip netns add NAME`; joining needs root.
    Namespace = "namespace", Namespace;
    /// `state MASTER` without `priority` means priority 255, the owner of the addresses: no other router ever takes
    /// over while this one sends, and `nopreempt` does nothing.
    /// Remedy: Write the priority that is meant, such as 150.
    OwnerByAccident = "owner-by-accident", Lint;
    /// Two instances have the same virtual address on the same interface. Each sets and removes it for itself, so that
    /// it may be gone while one of them is master.
    /// Remedy: Leave it in one of them.
    AddressTwice = "address-twice", Lint;
    /// Priority 255 is that of the owner: the machine that has the virtual addresses for itself, also without VRRP. Here
    /// it has not, so that they come and go with the daemon, and no other router ever takes over while this one sends.
    /// Remedy: Use a priority of 254 or less, or configure the addresses on the interface.
    OwnerElsewhere = "owner-elsewhere", Lint;
    /// Two instances with one VRID are on interfaces that are ports of the same bridge or bond, which is one link: each
    /// hears the advertisements of the other one and gives way to it.
    /// Remedy: Give each its own `virtual_router_id`, or run the instance on the bridge.
    VridOnBridge = "vrid-on-bridge", Lint;
    /// The members of a sync group become master and backup together. If their priorities or their `nopreempt` differ,
    /// the one that is moved first moves all, whatever the others say.
    /// Remedy: Give all members the same `priority` and the same `nopreempt`.
    GroupMembersDiffer = "group-members-differ", Lint;
    /// `unicast_peer` names the address that the instance sends from, another one of this machine or a virtual one. The
    /// peers are the other routers, by addresses that stay theirs.
    /// Remedy: List all routers but the one that the file is for.
    OwnPeer = "own-peer", Lint;
    /// A virtual address without a prefix length is a network of its own (/32 or /128), and no network of its interface
    /// contains it. Hosts on the link do not look for it there.
    /// Remedy: Give the prefix length of the link's network, or make sure that something routes to the address.
    OutsidePrefix = "outside-prefix", Lint;
    /// `vrrp_strict` and `strict_mode` do what the RFC says: only the owner of an address, whose priority is 255,
    /// accepts packets for it. Ping and services on the virtual addresses do not answer.
    /// Remedy: Leave strict mode out, or say `accept`.
    StrictDrops = "strict-drops", Lint;
    /// `notification_email` names recipients, but without a relay no mail is sent.
    /// Remedy: Name the relay with `smtp_server`, or remove the recipients.
    MailNowhere = "mail-nowhere", Lint;
    /// `smtp_alert` asks for mail, but `notification_email` names nobody.
    /// Remedy: Name the recipients in `global_defs`, or turn the alerts off.
    AlertNowhere = "alert-nowhere", Lint;
    /// The priority 255 is that of the owner of the addresses, and is never changed by trackers.
    /// Remedy: Lower it to 254 or less if the weights should matter.
    WeightOfOwner = "weight-of-owner", Lint;
    /// Effective priorities are 1 to 254. A weight that would lead beyond that changes nothing.
    /// Remedy: Lower `priority` by at least the weight, or turn its sign.
    WeightWithoutRoom = "weight-without-room", Lint;
    /// A script may run longer than the time from one start to the next. While it runs no other run is started, so that
    /// a hanging script is noticed after `timeout`, not after `interval`.
    /// Remedy: Make `timeout` the shorter one.
    SlowScript = "slow-script", Lint;
    /// A script, file, process or BFD session is defined, but nothing tracks it.
    /// Remedy: Name it in a `track_...` block, or remove it.
    Unused = "unused", Lint;
    /// A real server has the address of its virtual server: packets are sent in a circle.
    /// Remedy: Name the address that the real server has for itself.
    RealIsVirtual = "real-is-virtual", Lint;
    /// The `sorry_server`, which is used when all real servers are down, is one of them.
    /// Remedy: Name a server that is in no other use.
    SorryIsReal = "sorry-is-real", Lint;
    /// A check may take longer than the time between two checks, so that a server that hangs is noticed late.
    /// Remedy: Set `misc_timeout` or `connect_timeout` to less than `delay_loop`.
    SlowCheck = "slow-check", Lint;
    /// Instances bring virtual addresses, but not that of this virtual server, and the machine has it neither: nobody
    /// reaches the service, unless something routes to it.
    /// Remedy: Add the address to `virtual_ipaddress` or `virtual_ipaddress_excluded` of the instance that shall bring it.
    ServerNowhere = "server-nowhere", Lint;
    /// `ops` schedules each packet for itself, so that there are no connections; persistence keeps a client at one server.
    /// Which of them wins depends on the kernel.
    /// Remedy: Remove `ops`, or the persistence.
    OpsPersistent = "ops-persistent", Lint;
    /// In a cluster: an instance on one node only. If that node fails, nobody has its addresses.
    /// Remedy: Give another node an instance with the same VRID and addresses.
    NoCounterpart = "no-counterpart", Lint;
    /// In a cluster: the same addresses under different VRIDs. The routers do not see each other, and both are master.
    /// Remedy: Use one `virtual_router_id` on all nodes.
    VridDiffers = "vrid-differs", Lint;
    /// In a cluster: a router of version 2 ignores version 3 and the reverse. Both are master.
    /// Remedy: Use one `version` on all nodes.
    VersionDiffers = "version-differs", Lint;
    /// In a cluster: in version 2 an advertisement with another interval is ignored, and both are master. In version 3
    /// the backup follows the master; then it is only untidy.
    /// Remedy: Use one `advert_int` on all nodes.
    IntervalDiffers = "interval-differs", Lint;
    /// In a cluster: authentication must be the same on all routers of an instance, or they ignore each other.
    /// Remedy: Use one `auth_type` and `auth_pass`, or the same keys of `auth_hmac`, on all nodes.
    AuthDiffers = "auth-differs", Lint;
    /// In a cluster: all routers of an instance must speak to the same multicast group, or all must use unicast.
    /// Remedy: Use the same `mcast_dst_ip`, or `unicast_peer` on all nodes.
    WayDiffers = "way-differs", Lint;
    /// In a cluster: the routers of an instance must have the same addresses. An advertisement with others is ignored,
    /// and after a failover some addresses are missing. Another order is only untidy.
    /// Remedy: Use one list on all nodes; a file that all of them include helps.
    AddressesDiffer = "addresses-differ", Lint;
    /// In a cluster: with equal priorities the router with the higher address becomes master.
    /// Remedy: Give them different priorities, or `nopreempt` to all of them.
    EqualPriorities = "equal-priorities", Lint;
    /// In a cluster: several nodes begin as master. Each announces the addresses at its start, until the one with the
    /// lower priority hears the other.
    /// Remedy: Write `state MASTER` on the preferred node only, and `state BACKUP` on the others.
    MastersTwice = "masters-twice", Lint;
    /// In a cluster: `nopreempt` matters on the router with the highest priority: it is the one that would take over.
    /// Remedy: Move it there, or give it to all nodes.
    NopreemptElsewhere = "nopreempt-elsewhere", Lint;
    /// In a cluster: even if all trackers of the preferred router are bad and those of the others good, its priority
    /// is the highest.
    /// Remedy: Make the weights larger than the distance of the priorities.
    WeightTooSmall = "weight-too-small", Lint;
    /// In a cluster: with unicast each router must name the source address of each other one. Whoever is not named
    /// hears nothing, and becomes master, too.
    /// Remedy: Add the address to `unicast_peer`.
    PeerMissing = "peer-missing", Lint;
    /// In a cluster: a `unicast_peer` that none of the other nodes sends from.
    /// Remedy: Correct it, or the `unicast_src_ip` of the other node, or check the files of all nodes together.
    PeerUnknown = "peer-unknown", Lint;
    /// In a cluster: instances that change state together on one node must do so on all nodes.
    /// Remedy: Use the same `vrrp_sync_group` on all nodes.
    GroupDiffers = "group-differs", Lint;
    /// In a cluster: virtual servers that only some of the nodes have, or that differ. After a failover clients find
    /// something else.
    /// Remedy: Use the same `virtual_server` blocks on all nodes; a file that all of them include helps.
    ServersDiffer = "servers-differ", Lint;
}
