//! Our own pages: signing in, what is one's own, the console.

pub mod answer;
pub mod assets;
pub mod console;
pub mod cookies;
pub mod form;
pub mod pages;
pub mod relative;
pub mod return_to;
#[cfg(test)]
mod samples;
pub mod view;
pub mod words;
