//! Our own pages: signing in, what is one's own, the console.

pub mod assets;
pub mod console;
pub mod form;
pub mod pages;
pub mod relative;
#[cfg(test)]
mod samples;
pub mod view;
pub mod words;
