//! Codes under paused time, and programs that print them.
