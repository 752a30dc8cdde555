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
}
