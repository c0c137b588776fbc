//! The pages that are not the console's: how people come in, what is theirs, and what they are told when something is wrong.

pub mod account;
pub mod first_admin;
pub mod hand_over;
pub mod invitation;
pub mod me;
pub mod refused;
pub mod sign_in;
pub mod sign_out;
