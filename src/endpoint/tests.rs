//! The endpoint over a connection in memory of this machine, before a fake STS.
