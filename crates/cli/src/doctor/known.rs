//! What is known of particular servers: things that cannot be seen from outside before they bite. `docs/servers.md` has
//! the same with more words.

/// What the operator of a program should know, by the name of its file.
pub fn advice(program: &str) -> &'static [&'static str] {
    match program {
        "nginx" => &[
            "nginx gives a new binary (USR2) only the variables that its configuration names: put `env LD_PRELOAD; env \
             TICKETSHIM_STATE;` (and other TICKETSHIM_ variables in use) at its top level",
            "nginx itself ties sessions to the certificate: a renewed certificate means one full handshake per client",
            "with ssl_session_ticket_key, nginx's own keys win",
        ],
        "proftpd" | "vsftpd" => &[
            "an FTP client must ask for the same server name on data connections as on the control connection, or they do not \
             resume, which such servers demand; for clients that do not, set TICKETSHIM_BIND=none",
        ],
        "haproxy" => &["with tls-ticket-keys, HAProxy's own keys win"],
        "apache2" | "httpd" => &[
            "Debian's configuration has `SSLSessionTickets off` (mods-available/ssl.conf): no tickets, nothing to help with; \
             set it on",
            "with SSLSessionTicketKeyFile, httpd's own keys win",
        ],
        "master" | "postfix" | "smtpd" | "tlsmgr" => {
            &["Postfix clears the environment: name LD_PRELOAD and the TICKETSHIM_ variables in import_environment"]
        }
        "dovecot" | "imap-login" | "pop3-login" => {
            &["Dovecot clears the environment: add LD_PRELOAD and the TICKETSHIM_ variables to import_environment"]
        }
        "su" | "runuser" => {
            &["it may clear the environment for what it starts: let it start `ticketshim run` instead, as in `su \
             www -c 'ticketshim run -- CMD'`"]
        }
        _ => &[],
    }
}

/// Why a program that uses OpenSSL is not helped all the same; `enforced`: whether its own ticket keys are overruled.
pub fn obstacle(program: &str, enforced: bool) -> Option<&'static str> {
    match program {
        "postgres" => Some("PostgreSQL gives no tickets at all: there is nothing to help with"),
        "lighttpd" if !enforced => {
            Some("lighttpd rotates ticket keys of its own, and they win: --mode enforce overrules them")
        }
        "proftpd" if !enforced => {
            Some("ProFTPD rotates ticket keys of its own, and they win: --mode enforce overrules them")
        }
        "master" | "postfix" | "smtpd" | "tlsmgr" if !enforced => {
            Some("Postfix (tlsmgr) rotates ticket keys of its own, and they win: --mode enforce overrules them")
        }
        _ => None,
    }
}

/// Whether it is a shell: what its script starts cannot be told from its file.
pub fn is_shell(program: &str) -> bool {
    matches!(program, "sh" | "bash" | "dash" | "zsh" | "ksh" | "busybox")
}
