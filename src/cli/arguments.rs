//! Every command and option, with the words and examples that `--help` shows.

mod invite;
mod mail;
mod team;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(super) use self::invite::InviteCommand;
pub(super) use self::mail::MailCommand;
pub(super) use self::team::{GiftOptions, ProjectCommand, TeamCommand};

/// An identity proxy that decides every request by rules you can read, test and explain.
#[derive(Debug, Parser)]
#[command(
    name = "portcullis",
    version,
    max_term_width = 110,
    propagate_version = false,
    arg_required_else_help = true
)]
#[command(after_help = "\
Exit status: 0 done and sound; 1 something is wrong and was said; 2 wrong usage.
Commands talk to the running server over its control socket, and open the store themselves where none runs.

Examples:
  portcullis demo
  portcullis check --strict
  portcullis user add --email ada@example.org --role admin
  portcullis explain --user ada@example.org \"GET https://app.example.org/reports\"")]
pub(super) struct Arguments {
    /// The settings file. Relative paths in it count from the folder above its `config/` folder, else from its own
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "config/portcullis.toml",
        env = "PORTCULLIS_CONFIG"
    )]
    pub(super) config: PathBuf,
    /// Print JSON, for scripts
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the gateway
    #[command(after_help = "\
Prints one line for each listener and `ready` once it answers, on standard output; its log goes to standard error.
TERM and INT let running requests finish and stop, HUP reloads.

Example:
  portcullis serve --config /etc/portcullis/config/portcullis.toml --log-format json")]
    Serve(ServeOptions),
    /// Show it in a minute: a gateway with a throw-away store, a sample application and people to sign in as
    #[command(after_help = "\
Example:
  portcullis demo --port 8080")]
    Demo(DemoOptions),
    /// Check settings and policies, and run the policies' own tests
    #[command(after_help = "\
Examples:
  portcullis check
  portcullis check policies --strict
  portcullis check ../next/policies --store --format sarif > findings.sarif")]
    Check(CheckOptions),
    /// Tell step by step, with file and line, how a request is decided
    #[command(after_help = "\
Examples:
  portcullis explain --user kim@acme.example --from 203.0.113.9 \"POST https://eln.example.com/dictionaries/7\"
  portcullis explain --anonymous \"GET https://docs.example.org/assets/site.css\"
  portcullis explain --decision d-01J9Z0")]
    Explain(ExplainOptions),
    /// List the people a request is open to, and why
    #[command(
        name = "who-can",
        after_help = "\
Example:
  portcullis who-can --from 203.0.113.9 \"GET https://eln.example.com/dq/board\""
    )]
    WhoCan(WhoCanOptions),
    /// List the applications and paths open to somebody
    #[command(after_help = "\
Example:
  portcullis can kim@acme.example --from 203.0.113.9")]
    Can(CanOptions),
    /// Tell who would gain and who would lose access by other policies
    #[command(after_help = "\
Everybody in the store is decided by the policies in force and by the others, at every place that a rule of either names.

Examples:
  portcullis diff --store
  portcullis diff --store ../next/policies")]
    Diff(DiffOptions),
    /// Have the running server read settings and policies again
    #[command(after_help = "\
All or nothing: with an error or a failed test the old policy stays in force, and every problem is printed.

Example:
  portcullis check --strict && portcullis reload")]
    Reload,
    /// Add people, hand out tokens, change roles
    #[command(subcommand)]
    User(UserCommand),
    /// Invite people, see how far they have come, send again, withdraw
    #[command(subcommand)]
    Invite(InviteCommand),
    /// See teams, change what their members have, keep projects
    #[command(subcommand)]
    Team(TeamCommand),
    /// See letters, have them tried again or given up
    #[command(subcommand)]
    Mail(MailCommand),
    /// See and end sessions
    #[command(subcommand)]
    Session(SessionCommand),
    /// See and lift the locks that failed tries left
    #[command(subcommand)]
    Ban(BanCommand),
    /// Seal every secret in the store anew under the current master key
    #[command(after_help = "\
Example, after a new key was put first and the old one under `keys.previous_files`:
  portcullis rewrap")]
    Rewrap,
    /// Write the whole store to one portable file
    #[command(after_help = "\
Example:
  portcullis backup /var/backups/portcullis-$(date +%F).dump")]
    Backup {
        /// Where to; must not exist yet
        file: PathBuf,
    },
    /// Put a backup in the place of the store; no server may run
    #[command(after_help = "\
The backup is verified first. The store it replaces is kept beside it, with `.before-restore` at its end.

Example:
  portcullis restore --yes /var/backups/portcullis-2026-11-24.dump")]
    Restore {
        /// A file that `backup` wrote
        file: PathBuf,
        /// Yes, replace the store that is there
        #[arg(long)]
        yes: bool,
    },
    /// Verify or export the audit trail
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Look at the whole installation and say what is wrong, where, and what to do
    #[command(after_help = "\
Looks at the clock, settings and policies, file modes, the master key, certificates, listeners, the store, applications and the mail server. It changes nothing.
Applications that others than this machine can reach are asked for their first page twice without the gateway: as nobody, and as `portcullis-doctor` by made-up headers.

Examples:
  portcullis doctor
  portcullis doctor --strict --accept upstream-believes:app.notebook
  portcullis doctor --json --offline")]
    Doctor(DoctorOptions),
    /// Ask the running server whether it is ready: exit status 0 or 1
    #[command(after_help = "\
Example:
  portcullis health || systemctl restart portcullis")]
    Health,
    /// Hash a password read from standard input, as the store keeps it
    #[command(after_help = "\
Example:
  printf %s \"$PASSWORD\" | portcullis hash")]
    Hash,
    /// Print the version
    #[command(after_help = "\
Example:
  portcullis version --json")]
    Version,
    /// Print a completion script
    #[command(after_help = "\
Example:
  portcullis completions bash > /etc/bash_completion.d/portcullis")]
    Completions {
        /// For which shell
        shell: Shell,
    },
    /// Print the manual page, or write one page for each command into a folder
    #[command(after_help = "\
Examples:
  portcullis man | man -l -
  portcullis man /usr/local/share/man/man1")]
    Man {
        /// Where to write one page for each command
        folder: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(super) struct DoctorOptions {
    /// Warnings count as errors
    #[arg(long)]
    pub(super) strict: bool,
    /// Ask neither applications nor the mail server
    #[arg(long)]
    pub(super) offline: bool,
    /// A fault that is known and meant: its code, or code and the beginning of its place. May be given several times
    #[arg(long, value_name = "CODE[:PLACE]")]
    pub(super) accept: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct ServeOptions {
    /// How the log is written
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "PORTCULLIS_LOG_FORMAT")]
    pub(super) log_format: LogFormat,
    /// How much is logged: error, warn, info, debug, trace, or a filter like `info,portcullis::gateway=debug`
    #[arg(long, value_name = "FILTER", default_value = "info", env = "PORTCULLIS_LOG")]
    pub(super) log: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people
    Text,
    /// One object a line
    Json,
}

#[derive(Debug, Args)]
pub(super) struct DemoOptions {
    /// The port of the gateway; 0 takes a free one. The shipped 4180 gives way to a free one if it is taken
    #[arg(long)]
    pub(super) port: Option<u16>,
    /// The folder with the policies to show
    #[arg(long, value_name = "DIR")]
    pub(super) policies: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct CheckOptions {
    /// A policies folder, in place of the one the settings name
    pub(super) dir: Option<PathBuf>,
    /// Compare with the store: names in use that are gone, and whether an administrator could still get in
    #[arg(long)]
    pub(super) store: bool,
    /// Look at what the rules point at: do applications answer
    #[arg(long)]
    pub(super) live: bool,
    /// Warnings count as errors
    #[arg(long)]
    pub(super) strict: bool,
    /// How findings are printed
    #[arg(long, value_enum)]
    pub(super) format: Option<FindingsFormat>,
}

#[derive(Debug, Args)]
pub(super) struct DiffOptions {
    /// A policies folder, in place of the one the settings name
    pub(super) dir: Option<PathBuf>,
    /// Compare what the policies mean for the people in the store
    #[arg(long, required = true)]
    pub(super) store: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FindingsFormat {
    /// For people: place, caret, help
    Text,
    /// One object
    Json,
    /// SARIF 2.1.0, as code review tools read it
    Sarif,
}

#[derive(Debug, Args)]
pub(super) struct ExplainOptions {
    #[command(flatten)]
    pub(super) who: Who,
    /// The client's address
    #[arg(long, value_name = "IP")]
    pub(super) from: Option<IpAddr>,
    /// When, as RFC 3339; now if not given
    #[arg(long, value_name = "TIME")]
    pub(super) at: Option<String>,
    /// "METHOD URL", or just the URL for a GET
    #[arg(required_unless_present = "decision")]
    pub(super) request: Option<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Who {
    /// A person: id, e-mail or username
    #[arg(long, value_name = "WHO")]
    pub(super) user: Option<String>,
    /// A service, by its name in the policies
    #[arg(long, value_name = "NAME")]
    pub(super) service: Option<String>,
    /// Somebody who has not signed in
    #[arg(long)]
    pub(super) anonymous: bool,
    /// A live session, by its id
    #[arg(long, value_name = "ID")]
    pub(super) session: Option<String>,
    /// A decision from the log, or the request id that a page showed
    #[arg(long, value_name = "ID", conflicts_with_all = ["request", "from", "at"])]
    pub(super) decision: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct WhoCanOptions {
    /// "METHOD URL", or just the URL for a GET
    pub(super) request: String,
    /// The client's address
    #[arg(long, value_name = "IP")]
    pub(super) from: Option<IpAddr>,
}

#[derive(Debug, Args)]
pub(super) struct CanOptions {
    /// A person: id, e-mail or username
    pub(super) user: String,
    /// The client's address
    #[arg(long, value_name = "IP")]
    pub(super) from: Option<IpAddr>,
}

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a person; without a password prints the registration token to hand over
    #[command(after_help = "\
The first person ever added is an admin. The address counts as verified.

Examples:
  portcullis user add --email ada@example.org --username ada
  printf %s \"$PASSWORD\" | portcullis user add --email ada@example.org --username ada --password-stdin
  portcullis user add --email kim@acme.example --team acme --role team-user --ip-pattern acme-sites")]
    Add(UserAdd),
    /// List people
    #[command(after_help = "\
Examples:
  portcullis user list
  portcullis user list --csv > people.csv")]
    List {
        /// Part of a name, username or e-mail
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// Comma-separated values with a head line
        #[arg(long, conflicts_with = "json")]
        csv: bool,
    },
    /// Show one person: id, names, status, roles, memberships
    #[command(after_help = "\
Example:
  portcullis user show ada@example.org --json")]
    Show {
        /// id, e-mail or username
        who: String,
    },
    /// Set the instance-wide role, or add or remove one
    #[command(after_help = "\
Examples:
  portcullis user role kim admin
  portcullis user role kim user
  portcullis user role kim --add curator")]
    Role {
        /// id, e-mail or username
        who: String,
        /// `admin` or `user`
        #[arg(required_unless_present_any = ["add", "remove"], conflicts_with_all = ["add", "remove"])]
        role: Option<String>,
        /// Give this role besides
        #[arg(long, value_name = "ROLE")]
        add: Option<String>,
        /// Take this role away
        #[arg(long, value_name = "ROLE", conflicts_with = "add")]
        remove: Option<String>,
    },
    /// Shut somebody out and end all their sessions
    #[command(after_help = "\
Example:
  portcullis user disable kim@acme.example")]
    Disable {
        /// id, e-mail or username
        who: String,
    },
    /// Let somebody in again
    #[command(after_help = "\
Example:
  portcullis user enable kim@acme.example")]
    Enable {
        /// id, e-mail or username
        who: String,
    },
    /// Delete a person with everything that was theirs; the audit trail stays
    #[command(after_help = "\
Example:
  portcullis user delete kim@acme.example --yes")]
    Delete {
        /// id, e-mail or username
        who: String,
        /// Yes, really
        #[arg(long)]
        yes: bool,
    },
    /// Print the live registration or reset token, making one where none is
    #[command(after_help = "\
Examples:
  portcullis user token kim@acme.example
  portcullis user token kim@acme.example --new")]
    Token {
        /// id, e-mail or username
        who: String,
        /// Replace the one there is
        #[arg(long)]
        new: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct UserAdd {
    /// The e-mail address
    #[arg(long)]
    pub(super) email: String,
    /// The name to sign in with; made from the address if not given
    #[arg(long)]
    pub(super) username: Option<String>,
    /// First name
    #[arg(long, value_name = "NAME")]
    pub(super) given_name: Option<String>,
    /// Last name
    #[arg(long, value_name = "NAME")]
    pub(super) family_name: Option<String>,
    /// A role: of the team if it is one of a team's, else instance-wide
    #[arg(long)]
    pub(super) role: Option<String>,
    /// The team; `main` if not given
    #[arg(long)]
    pub(super) team: Option<String>,
    /// The IP pattern of the membership
    #[arg(long, value_name = "NAME")]
    pub(super) ip_pattern: Option<String>,
    /// The SAML ID provider of the membership
    #[arg(long, value_name = "NAME")]
    pub(super) idp: Option<String>,
    /// Read the password from standard input, all of it less one trailing newline
    #[arg(long)]
    pub(super) password_stdin: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// List live sessions
    #[command(after_help = "\
Example:
  portcullis session list --user ada@example.org")]
    List {
        /// Only this person's: id, e-mail or username
        #[arg(long, value_name = "WHO")]
        user: Option<String>,
    },
    /// End one session, all of one person, or all that were made from an address
    #[command(after_help = "\
Examples:
  portcullis session end s-9c2k
  portcullis session end --user ada@example.org
  portcullis session end --from 203.0.113.9")]
    End {
        /// The session's id
        #[arg(required_unless_present_any = ["user", "from"], conflicts_with_all = ["user", "from"])]
        id: Option<String>,
        /// All of this person's
        #[arg(long, value_name = "WHO", conflicts_with = "from")]
        user: Option<String>,
        /// All that were made from this address
        #[arg(long, value_name = "IP")]
        from: Option<IpAddr>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum BanCommand {
    /// List what is locked after too many tries
    #[command(after_help = "\
Example:
  portcullis ban list")]
    List,
    /// Lift locks and forget the failed tries behind them
    #[command(after_help = "\
Examples:
  portcullis ban clear b-3k9d
  portcullis ban clear --all")]
    Clear {
        /// The lock's id, as `ban list` prints it
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// Every lock and every failed try
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Follow the chain of hashes from the first entry to the last
    #[command(after_help = "\
Example:
  portcullis audit verify")]
    Verify,
    /// Print the audit trail as JSON lines
    #[command(after_help = "\
Example:
  portcullis audit export > audit.jsonl")]
    Export,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_has_a_sound_definition_and_an_example() {
        Arguments::command().debug_assert();
        let mut without = Vec::new();
        let mut waiting = vec![Arguments::command()];
        while let Some(command) = waiting.pop() {
            let children: Vec<_> = command.get_subcommands().cloned().collect();
            let shown = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            if children.is_empty() && !shown.contains("Example") {
                without.push(command.get_name().to_owned());
            }
            waiting.extend(children);
        }
        assert!(without.is_empty(), "no example in the help of {without:?}");
    }

    #[test]
    fn arguments_are_read_as_the_contract_says() {
        for (name, line, sound) in [
            ("a command is needed", "portcullis", false),
            (
                "settings come before or after the command",
                "portcullis serve --config x.toml",
                true,
            ),
            (
                "check takes a folder",
                "portcullis check policies --store --live --strict --format sarif",
                true,
            ),
            ("explain needs somebody", "portcullis explain https://a.example/", false),
            (
                "explain takes one of them",
                "portcullis explain --user a --anonymous https://a.example/",
                false,
            ),
            ("explain of a decision needs no request", "portcullis explain --decision d-1", true),
            ("role takes a role", "portcullis user role kim admin", true),
            ("or one to add", "portcullis user role kim --add curator", true),
            ("but not both", "portcullis user role kim admin --add curator", false),
            ("a session or a person's", "portcullis session end", false),
            ("ban clear says what", "portcullis ban clear", false),
            ("json anywhere", "portcullis user show kim --json", true),
            ("csv or json", "portcullis user list --csv --json", false),
            ("no such option", "portcullis serve --fast", false),
        ] {
            assert_eq!(Arguments::try_parse_from(line.split(' ')).is_ok(), sound, "{name}: {line}");
        }
    }
}
