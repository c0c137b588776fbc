//! Connections to the applications behind: pools, choice, health.
