//! Every example, as a stranger runs it: a process that is asked over the network and ended by SIGTERM.

mod luna_licenses;
