//! portcullis stands in front of web applications and decides every request by rules that can be read, tested and explained.
//!
//! The house has floors; a module uses only floors below its own (`tests/floors.rs` holds this map):
//!
//! | floor | modules |
//! | --- | --- |
//! | 8 | [`cli`] |
//! | 7 | [`server`] |
//! | 6 | [`gateway`], [`web`] |
//! | 5 | [`app`] |
//! | 4 | [`accounts`] |
//! | 3 | [`store`], [`mail`], [`signin`], [`audit`], [`upstream`] |
//! | 2 | [`policy`], [`config`] |
//! | 1 | [`model`] |
//! | 0 | [`base`] |

pub mod accounts;
pub mod app;
pub mod audit;
pub mod base;
pub mod cli;
pub mod config;
pub mod gateway;
pub mod mail;
pub mod model;
pub mod policy;
pub mod server;
pub mod signin;
pub mod store;
pub mod upstream;
pub mod web;
