//! Our own pages and the JSON beside them.
