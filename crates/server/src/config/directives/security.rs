//! Passwords, and commands that not everybody may use.

use super::{LONG, Section};
use crate::config::directive::Home::Kept;
use crate::config::directive::{Directive, Lacking, Refusal};
use crate::config::field::{ALLOW, field};
use crate::config::value::Kind;

pub const SECTION: Section = Section {
    title: "Security",
    intro: "\"rename-command NAME NEW-NAME\" gives a command another name; \"\" as its new name takes it away. It \
            may stand here as often as needed.",
    rows: ROWS,
};

const ROWS: &[Directive] = &[
    Directive::new(
        "requirepass",
        Kind::Text,
        "\"\"",
        field!(requirepass),
        "The password that clients give by AUTH or HELLO before anything else. Empty lets everybody in.",
    )
    .secret(),
    Directive::new(
        "enable-debug-command",
        Kind::Choice(ALLOW),
        "no",
        field!(enable_debug_command),
        "Who may use DEBUG: nobody, everybody, or connections from this machine.",
    )
    .at_start(),
    Directive::new(
        "enable-protected-configs",
        Kind::Choice(ALLOW),
        "no",
        field!(enable_protected_configs),
        "Who may change directives by CONFIG SET that reach into the file system: dir and dbfilename.",
    )
    .at_start(),
    Directive::new("enable-module-command", Kind::Choice(ALLOW), "no", Kept(Lacking::Modules), "Who may use MODULE.")
        .at_start(),
    Directive::new("aclfile", Kind::Text, "\"\"", Kept(Lacking::Users), "A file of users and of what they may do.")
        .at_start()
        .refused(Refusal::Always),
    Directive::new(
        "acllog-max-len",
        Kind::Int(0, LONG),
        "128",
        Kept(Lacking::Users),
        "Refused commands that are kept for ACL LOG.",
    ),
    Directive::new(
        "acl-pubsub-default",
        Kind::Choice(&["allchannels", "resetchannels"]),
        "resetchannels",
        Kept(Lacking::Users),
        "Whether a new user may use all channels.",
    ),
];
