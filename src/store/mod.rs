//! Where people, sessions and tokens are kept, and the one way to change them.
