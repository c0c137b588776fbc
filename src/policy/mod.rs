//! The rules: text becomes meaning, and meaning decides. Pure.
//!
//! [`Definitions`] is what the files mean, in names; [`PolicySet`] is the same, compiled for deciding. [`decide()`] answers a request,
//! [`house::judge`] answers for our own pages, [`explain`] tells the same walk step by step.

mod addresses;
mod analyse;
pub mod application;
mod compile;
pub mod condition;
pub mod decide;
pub mod decision;
pub mod definitions;
pub mod delegation;
pub mod difference;
pub mod explain;
pub mod facts;
#[cfg(test)]
mod fixture;
pub mod foresee;
pub mod headers;
mod held;
pub mod house;
#[cfg(test)]
mod laws;
pub mod load;
mod merge;
mod need;
mod parse;
mod path;
pub mod pattern;
pub mod place;
pub mod protected;
mod require;
mod resolve;
mod selftest;
mod set;
pub mod subject;
mod table;
mod trie;
mod upstream;
mod who;
mod window;

pub use analyse::{NamesInUse, Reach, administrators, could_administer, orphans, unused};
pub use application::Application;
pub use condition::Condition;
pub use decide::{decide, decide_remembering};
pub use decision::{Decision, Reason, Verdict};
pub use definitions::Definitions;
pub use facts::RequestFacts;
pub use house::Standing;
pub use load::{Checked, Context, TEST_FAILED, check, load, wanted};
pub use place::Place;
pub use require::UnknownName;
pub use selftest::TestOutcome;
pub use set::PolicySet;
pub use subject::{Held, Memo};
