//! Exit status and examples of each command: one table, of which the help and the manual pages are made.

use std::fmt::Write;

use ticketshim_keys::settings::{Setting, Values};

/// What the help and the page of a command say besides its options.
pub struct Chapter {
    /// As it is called: `ticketshim state init`.
    command: &'static str,
    /// Of the exit status, if it is not 0 for "done" alone.
    preface: &'static str,
    exits: &'static [(&'static str, &'static str)],
    /// What an example does, and its lines.
    examples: &'static [(&'static str, &'static [&'static str])],
    /// What else is to be known.
    remark: &'static str,
}

const USAGE: (&str, &str) = ("2", "used wrongly, or the output could not be written");
const AHEAD: (&str, &str) =
    ("7", "keys are ahead of all that this clock can explain: it, or the one that made them, is wrong");

const CHAPTERS: [Chapter; 12] = [
    Chapter {
        command: "ticketshim",
        preface: "Each command's page has its own.",
        exits: &[("0", "done; doctor: it helps, or will"), USAGE],
        examples: &[
            ("Can nginx be helped?", &["ticketshim doctor nginx"]),
            (
                "Start it with shared keys",
                &["ticketshim run --state /var/lib/ticketshim/state -- nginx -g 'daemon off;'"],
            ),
            ("Is the one that runs helped?", &["ticketshim doctor nginx.service"]),
        ],
        remark: "",
    },
    Chapter {
        command: "ticketshim run",
        preface: "CMD's own, or:",
        exits: &[
            ("127", "CMD was not found"),
            ("126", "CMD cannot be executed"),
            ("125", "libticketshim.so was not found, a setting makes no sense, or the stats file is refused"),
            ("124", "the state file is refused"),
            ("123", "CMD is linked statically"),
            ("122", "CMD runs with more rights than its caller (set-user-ID, capabilities)"),
            ("121", "CMD uses another version of libssl"),
            ("120", "CMD is for another machine or C library"),
            ("119", "what starts the server gives it no settings of this one (systemctl, docker, env -i)"),
        ],
        examples: &[
            (
                "Keys that last over restarts",
                &["ticketshim run --state /var/lib/ticketshim/state -- nginx -g 'daemon off;'"],
            ),
            (
                "Another user's server, with counters",
                &["sudo -u www ticketshim run --stats /run/www/stats -- haproxy -f /etc/haproxy/haproxy.cfg"],
            ),
        ],
        remark: "",
    },
    Chapter {
        command: "ticketshim doctor",
        preface: "",
        exits: &[
            ("0", "it helps, or will"),
            ("1", "it will not"),
            ("2", "there was no way to find out, it was used wrongly, or the output could not be written"),
        ],
        examples: &[
            ("A program", &["ticketshim doctor -- /usr/sbin/nginx"]),
            ("A service of systemd", &["ticketshim doctor nginx.service"]),
            ("A process, for a script", &["ticketshim doctor --json \"$(pgrep -o nginx)\""]),
        ],
        remark: "",
    },
    Chapter {
        command: "ticketshim state",
        preface: "",
        exits: &[
            ("0", "done"),
            ("1", "the file is refused; the text says why and what to do"),
            USAGE,
            ("3", "there is no such file"),
            ("4", "init: there is one already"),
            ("5", "put: what was given is of a lower generation than the file"),
            ("6", "put: it has the file's generation, and other chains"),
            AHEAD,
            ("8", "announce, reseed: another chain has to be used, or to end, before; the text says when"),
        ],
        examples: &[
            (
                "A new file, and what is in it",
                &["ticketshim state init /var/lib/ticketshim/state", "ticketshim state show /var/lib/ticketshim/state"],
            ),
            ("Other keys, so that nobody loses anything", &["ticketshim state reseed /var/lib/ticketshim/state"]),
            ("Other keys, after a theft", &["ticketshim state reseed --now /var/lib/ticketshim/state"]),
        ],
        remark: "",
    },
    Chapter {
        command: "ticketshim state init",
        preface: "",
        exits: &[
            ("0", "the file was made"),
            ("1", "it could not be made; the text says why and what to do"),
            USAGE,
            ("4", "there is one already, which stays as it is"),
            AHEAD,
        ],
        examples: &[
            ("Keys of its own", &["ticketshim state init --rotate 1h --accept 12h /var/lib/ticketshim/state"]),
            (
                "The keys of another host",
                &[
                    "ssh host1 cat /var/lib/ticketshim/state |",
                    "    ticketshim state init --from-stdin /var/lib/ticketshim/state",
                ],
            ),
        ],
        remark: "",
    },
    Chapter {
        command: "ticketshim state show",
        preface: "",
        exits: &[
            ("0", "shown"),
            ("1", "the file is refused; the text says why and what to do"),
            USAGE,
            ("3", "there is no such file"),
            AHEAD,
        ],
        examples: &[(
            "Which chain a host has",
            &["ticketshim state show --json /var/lib/ticketshim/state | jq -r .chain"],
        )],
        remark: "",
    },
    Chapter {
        command: "ticketshim state advance",
        preface: "",
        exits: &[
            ("0", "advanced, or nothing was to be erased"),
            ("1", "the file is refused; the text says why and what to do"),
            USAGE,
            ("3", "there is no such file"),
            AHEAD,
        ],
        examples: &[("From cron", &["ticketshim state advance --quiet /var/lib/ticketshim/state"])],
        remark: "",
    },
    Chapter {
        command: "ticketshim state announce",
        preface: "",
        exits: &[
            ("0", "announced"),
            ("1", "the file is refused; the text says why and what to do"),
            USAGE,
            ("3", "there is no such file"),
            ("8", "another chain has to be used, or to end, before; the text says when"),
        ],
        examples: &[(
            "Other keys on all hosts, without a full handshake more",
            &[
                "ticketshim state announce --use-at +2h /var/lib/ticketshim/state",
                "for host in $HOSTS; do",
                "    ssh $host ticketshim state put --from-stdin /var/lib/ticketshim/state </var/lib/ticketshim/state",
                "done",
            ],
        )],
        remark: "",
    },
    Chapter {
        command: "ticketshim state reseed",
        preface: "",
        exits: &[
            ("0", "announced; with --now, the keys were replaced"),
            ("1", "the file is refused; the text says why and what to do"),
            USAGE,
            ("3", "there is no such file"),
            ("8", "another chain has to be used, or to end, before; the text says when"),
        ],
        examples: &[
            ("Now and then", &["ticketshim state reseed /var/lib/ticketshim/state"]),
            (
                "After a theft, so that the old keys open nothing any more",
                &["ticketshim state reseed --now /var/lib/ticketshim/state", "systemctl reload nginx"],
            ),
        ],
        remark: "",
    },
    Chapter {
        command: "ticketshim state put",
        preface: "",
        exits: &[
            ("0", "the file holds what was given, or more of the same"),
            ("1", "the file, or what was given, is refused; the text says why and what to do"),
            USAGE,
            ("5", "what was given is of a lower generation than the file, which stays as it is"),
            ("6", "what was given has the file's generation and other chains; the file stays as it is"),
            AHEAD,
        ],
        examples: &[(
            "A copy for servers of the group tickets",
            &[
                "ssh host1 cat /var/lib/ticketshim/state |",
                "    ticketshim state put --from-stdin --group tickets --mode 640 /var/lib/ticketshim/state",
            ],
        )],
        remark: "",
    },
    Chapter {
        command: "ticketshim stats",
        preface: "",
        exits: &[
            ("0", "shown"),
            ("2", "there are no counters to show, it was used wrongly, or the output could not be written"),
        ],
        examples: &[
            ("What comes in each second", &["ticketshim stats --watch /run/ticketshim/stats"]),
            ("One server of several that share the file", &["ticketshim stats \"$(pgrep -o nginx)\""]),
            (
                "For the text file collector of node_exporter",
                &[
                    "cd /var/lib/node_exporter",
                    "ticketshim stats --prometheus /run/ticketshim/stats > ticketshim.prom.new &&",
                    "    mv ticketshim.prom.new ticketshim.prom",
                ],
            ),
        ],
        remark: "",
    },
    Chapter {
        command: "ticketshim inspect",
        preface: "",
        exits: &[
            ("0", "sealed under a key of this state file, and opened"),
            ("1", "not a ticket, not of this state file, or not for the place that was named"),
            ("2", "there was no way to find out, it was used wrongly, or the output could not be written"),
        ],
        examples: &[(
            "A ticket of a server that runs",
            &[
                "openssl s_client -connect www.example:443 -servername www.example \\",
                "    -sess_out s.pem </dev/null",
                "ticketshim inspect --state /var/lib/ticketshim/state s.pem",
            ],
        )],
        remark: "Mosquitto's session id context is text:mosquitto-PORT, stunnel's is text: and the service's name. Of any \
                 other server it is what it gives SSL_CTX_set_session_id_context.",
    },
];

/// The chapter of a command, by its name.
fn chapter(command: &str) -> Option<&'static Chapter> {
    CHAPTERS.iter().find(|chapter| chapter.command == command)
}

/// What the help of a command ends with.
pub fn after_help(command: &str) -> String {
    let Some(chapter) = chapter(command) else { return String::new() };
    let mut text = "Exit status:".to_owned();
    // Writing to a String cannot fail, here and below.
    if !chapter.preface.is_empty() {
        let _ = write!(text, " {}", chapter.preface);
    }
    for (code, meaning) in chapter.exits {
        let _ = write!(text, "\n  {code:3}  {meaning}");
    }
    text.push_str("\n\nExamples:");
    for (what, lines) in chapter.examples {
        let _ = write!(text, "\n  {what}:");
        for line in *lines {
            let _ = write!(text, "\n      {line}");
        }
    }
    if !chapter.remark.is_empty() {
        let _ = write!(text, "\n\n{}", chapter.remark);
    }
    text
}

/// The same as sections of a manual page.
pub fn sections(command: &str) -> String {
    let Some(chapter) = chapter(command) else { return String::new() };
    let mut text = String::new();
    if !chapter.remark.is_empty() {
        let _ = writeln!(text, ".SH NOTES\n{}", roff(chapter.remark));
    }
    text.push_str(".SH \"EXIT STATUS\"\n");
    if !chapter.preface.is_empty() {
        let _ = writeln!(text, "{}", roff(chapter.preface));
    }
    for (code, meaning) in chapter.exits {
        let _ = writeln!(text, ".TP\n.B {code}\n{}", roff(meaning));
    }
    text.push_str(".SH EXAMPLES\n");
    for (at, (what, lines)) in chapter.examples.iter().enumerate() {
        let start = if at == 0 { "" } else { ".P\n" };
        let _ = writeln!(text, "{start}{}:\n.P\n.RS 4\n.nf", roff(what));
        for line in *lines {
            let _ = writeln!(text, "{}", roff(line));
        }
        text.push_str(".fi\n.RE\n");
    }
    text
}

/// The paragraph of a setting in ticketshim(7).
pub fn paragraph(setting: &Setting) -> String {
    let plain = |markdown: String| roff(&markdown.replace('`', ""));
    let (values, default) = (plain(setting.values.markdown()), plain(setting.default()));
    let mut text = format!(".TP\n.BR {} \", \" {}\n", setting.variable(), setting.name);
    let _ = write!(text, "Values: {values}. Default: {default}.\n.br\n");
    for line in setting.text.lines() {
        let _ = writeln!(text, "{}", bold(&roff(line.trim())));
    }
    if let Values::Words(words) = setting.values {
        text.push_str(".RS\n");
        for word in words {
            let _ = writeln!(text, ".TP\n.B {}\n{}.", word.name, roff(word.help));
        }
        text.push_str(".RE\n");
    }
    text
}

/// What is between backquotes in bold.
fn bold(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { format!("\\fB{part}\\fR") } else { part.to_owned() }).collect()
}

/// Text that roff is to leave alone.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_has_its_chapter() {
        let mut command = crate::args::Cli::command().disable_help_subcommand(true);
        command.build();
        let mut seen = 0;
        let mut open = vec![&command];
        while let Some(command) = open.pop() {
            open.extend(command.get_subcommands().filter(|command| !command.is_hide_set()));
            let name = command.get_bin_name().unwrap_or(command.get_name());
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Exit status:") && help.contains("Examples:"), "{name}: {help}");
            assert!(sections(name).contains("\n.SH EXAMPLES\n"), "{name}");
            seen += 1;
        }
        assert_eq!(seen, CHAPTERS.len());
    }
}
