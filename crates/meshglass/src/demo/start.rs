//! The start: agents, registrations, sidecars, users, and the box that says where everything is.
