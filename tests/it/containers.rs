//! Containers and sandboxes as people run them, each with a real AWS client inside that reads a
//! bound mount and asks the emulator on the host who it is.

mod docker;
mod machine;
mod podman;
mod reader;
mod rules;
mod sandboxes;
