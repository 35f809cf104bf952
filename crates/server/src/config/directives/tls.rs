//! redis.conf's directives about TLS. This version has none.

use super::{INT, Section};
use crate::config::directive::Home::Kept;
use crate::config::directive::Lacking::Tls;
use crate::config::directive::{Directive, Refusal};
use crate::config::value::Kind;

pub const SECTION: Section = Section {
    title: "TLS",
    intro: "This version has no TLS: these directives of redis.conf are read, kept and reported, without effect. A \
            tls-port stops the start.",
    rows: ROWS,
};

const fn text(name: &'static str, doc: &'static str) -> Directive {
    Directive::new(name, Kind::Text, "\"\"", Kept(Tls), doc)
}

const ROWS: &[Directive] = &[
    Directive::new("tls-port", Kind::Int(0, 65535), "0", Kept(Tls), "The port for TLS; 0 = none.")
        .refused(Refusal::Always),
    text("tls-cert-file", "The server's certificate."),
    text("tls-key-file", "Its key."),
    text("tls-key-file-pass", "The password of that key.").secret(),
    text("tls-client-cert-file", "The certificate for connections that the server opens."),
    text("tls-client-key-file", "Its key."),
    text("tls-client-key-file-pass", "The password of that key.").secret(),
    text("tls-dh-params-file", "Diffie-Hellman parameters."),
    text("tls-ca-cert-file", "Certificates of those who sign clients' certificates."),
    text("tls-ca-cert-dir", "A folder of such certificates."),
    Directive::new(
        "tls-auth-clients",
        Kind::Choice(&["no", "yes", "optional"]),
        "yes",
        Kept(Tls),
        "Whether clients need a certificate.",
    ),
    Directive::new("tls-replication", Kind::Bool, "no", Kept(Tls), "Whether replication uses TLS."),
    Directive::new("tls-cluster", Kind::Bool, "no", Kept(Tls), "Whether cluster nodes use TLS among themselves."),
    text("tls-protocols", "The versions of TLS that are accepted."),
    text("tls-ciphers", "The ciphers for TLS up to 1.2."),
    text("tls-ciphersuites", "The ciphers for TLS 1.3."),
    Directive::new(
        "tls-prefer-server-ciphers",
        Kind::Bool,
        "no",
        Kept(Tls),
        "Whether the server's order of ciphers decides.",
    ),
    Directive::new("tls-session-caching", Kind::Bool, "yes", Kept(Tls), "Whether clients may resume sessions."),
    Directive::new("tls-session-cache-size", Kind::Int(0, INT), "20480", Kept(Tls), "Sessions that are remembered."),
    Directive::new(
        "tls-session-cache-timeout",
        Kind::Int(0, INT),
        "300",
        Kept(Tls),
        "Seconds that they are remembered.",
    ),
    Directive::new(
        "max-new-tls-connections-per-cycle",
        Kind::Int(1, 1000),
        "1",
        Kept(Tls),
        "TLS connections that Redis accepts in one turn of its loop.",
    ),
];
