//! The life of a forwarded request.
