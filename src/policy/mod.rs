//! The rules: text becomes meaning, and meaning decides. Pure.
//!
//! [`Definitions`] is what the files mean, in names; [`PolicySet`] is the same, compiled for deciding. [`decide::decide`] answers a request,
//! [`house::judge`] answers for our own pages, [`explain::explain`] tells the same walk step by step.

pub mod application;
pub mod condition;
pub mod decision;
pub mod definitions;
pub mod facts;
pub mod headers;
pub mod pattern;
pub mod place;
pub mod subject;

pub use application::Application;
pub use condition::Condition;
pub use decision::{Decision, Reason, Verdict};
pub use definitions::Definitions;
pub use facts::RequestFacts;
pub use place::Place;
