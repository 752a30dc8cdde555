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
    /// So many complaints were made that the rest is not shown. Mend the first ones; they usually cause the others.
    TooMany = "too-many", Note;
    /// The file of `-f` does not exist or is not a plain file without execute permission.
    NoFile = "no-file", NoFile;
    /// A file exists but may not be read by the user who runs this.
    Unreadable = "unreadable", Fatal;
    /// The pattern of `-f` matches more than one file. All are read, in order.
    SeveralFiles = "several-files", Complaint;
    /// A file, or what sequences, definitions and includes make of it, is beyond any sensible size. Reading ends there.
    TooLarge = "too-large", Unusable;
    /// A line holds more than 1022 characters. Only what follows the first 1023 is read. Split the line.
    LineTooLong = "line-too-long", Complaint;
    /// A line holds a NUL byte and is ignored. The file is probably not text.
    NulByte = "nul-byte", Complaint;
    /// A line ends inside double quotes.
    UnterminatedQuote = "unterminated-quote", Complaint;
    /// A `"` has no counterpart; its word and the rest of the statement are ignored.
    UnmatchedQuote = "unmatched-quote", Complaint;
    /// `~SEQ`, `~SEQx` or `~LST` cannot be understood; the line is ignored.
    BadSequence = "bad-sequence", Complaint;
    /// A predefined name is used with arguments that it does not take.
    BadDefinition = "bad-definition", Complaint;
    /// Replacing a `$NAME` would make the line longer than keepalived can read, or never end.
    ExpansionTooLong = "expansion-too-long", Log;
    /// An `include` names something that does not exist or cannot be read. Whether that is an error depends on
    /// `includer`, `includem`, `includew`, `includeb`, `includea`, on `include_check` and on `-e`.
    Include = "include", Include;
    /// A file includes itself, directly or through others.
    IncludeLoop = "include-loop", Complaint;
    /// No keyword of this block has that name. The statement, and its block if it has one, is ignored.
    UnknownKeyword = "unknown-keyword", Complaint;
    /// A `{` follows a keyword that has no block. What it holds is read as part of the enclosing block.
    UnexpectedOpen = "unexpected-open", Complaint;
    /// A keyword that opens a block is not followed by `{`. What follows is read as its block.
    MissingOpen = "missing-open", Complaint;
    /// A `}` closes nothing. Remove it, or find the block that was closed too early.
    ExtraClose = "extra-close", Complaint;
    /// The file ends inside a block.
    MissingClose = "missing-close", Complaint;
    /// A keyword lacks its argument. keepalived stops reading here, so neither `-t` nor the daemon goes on.
    MissingArgument = "missing-argument", Missing;
    /// A keyword lacks its value and is ignored.
    NoValue = "no-value", Complaint;
    /// Words where none are expected.
    ExtraArgument = "extra-argument", Complaint;
    /// A block without entries.
    EmptyBlock = "empty-block", Complaint;
    /// A word is not a number.
    InvalidNumber = "invalid-number", Complaint;
    /// A number is outside its range.
    OutOfRange = "out-of-range", Complaint;
    /// A number has more decimal places than count; it is rounded.
    Rounded = "rounded", Complaint;
    /// A word is none of `on off true false yes no`.
    InvalidBoolean = "invalid-boolean", Complaint;
    /// A word is not an address.
    InvalidAddress = "invalid-address", Complaint;
    /// A word is none of those that are possible here.
    BadValue = "bad-value", Complaint;
    /// A keyword or word has another name nowadays.
    Deprecated = "deprecated", Complaint;
    /// A keyword may stand only once; the first one counts.
    Repeated = "repeated", Complaint;
    /// The keyword is understood, but the feature is not built yet.
    NoEffectYet = "no-effect-yet", Note;
    /// A word that this line does not know; it is ignored.
    UnknownWord = "unknown-word", Complaint;
    /// A setting that cannot matter here; it is ignored.
    Useless = "useless", Complaint;
    /// A name is longer than the kernel or the protocol takes.
    TooLong = "too-long", Complaint;
    /// A name or an address that may stand only once stands a second time.
    Duplicate = "duplicate", Complaint;
    /// An interface does not exist. Without `dynamic_interfaces` the configuration cannot be used.
    NoInterface = "no-interface", Unusable;
    /// An address of the other family than its instance or its server.
    WrongFamily = "wrong-family", Complaint;
    /// A script cannot be run, or not safely.
    Script = "script", Log;
    /// Scripts are configured, but `enable_script_security` is not: whoever can replace a script that root runs is root.
    ScriptSecurity = "script-security", Security;
    /// The file with a key of `auth_hmac` can be read by more than its owner. `chmod 600` it, or use a systemd credential.
    ReadableKey = "readable-key", Security;
    /// Something is named that is not defined before this place.
    NotFound = "not-found", Complaint;
    /// An instance lacks its `virtual_router_id`.
    NoVrid = "no-vrid", Unusable;
    /// An instance lacks its `interface`.
    NoInterfaceGiven = "no-interface-given", Unusable;
    /// Two instances would be the same virtual router on the wire.
    SameVrid = "same-vrid", Unusable;
    /// An instance has no virtual address.
    NoAddress = "no-address", Complaint;
    /// Two settings contradict each other; one of them is dropped.
    Conflict = "conflict", Complaint;
    /// A sync group has too few members.
    SmallGroup = "small-group", Complaint;
    /// A virtual server lacks a setting, for which a default is used.
    Defaulted = "defaulted", Complaint;
    /// A virtual server without a usable real server.
    NoRealServer = "no-real-server", Complaint;
    /// The network namespace of `net_namespace` does not exist or may not be joined. Make it with `ip netns add`.
    Namespace = "namespace", Namespace;
    /// `state MASTER` without `priority` means priority 255, the owner of the addresses: no other router ever takes
    /// over while this one sends, and `nopreempt` does nothing. Write the priority that is meant, such as 150.
    OwnerByAccident = "owner-by-accident", Lint;
}
