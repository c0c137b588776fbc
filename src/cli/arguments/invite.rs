//! The arguments of `portcullis invite`.

use clap::{Args, Subcommand};

use super::team::GiftOptions;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum InviteCommand {
    /// Invite somebody into a team; where no mail is set up prints the link to hand over
    #[command(after_help = "\
The person registers by the link with a password and a token, or joins with the account that the address has.

Examples:
  portcullis invite create --email kim@acme.example --team acme --app eln
  portcullis invite create --email lee@acme.example --team acme --role team-data-admin --permission eln:dq --ip-pattern acme-sites")]
    Create(InviteCreate),
    /// List invitations, the newest first
    #[command(after_help = "\
Examples:
  portcullis invite list
  portcullis invite list --team acme --status ended --json")]
    List {
        /// Part of an address
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// To this team
        #[arg(long)]
        team: Option<String>,
        /// `sent`, `opened`, `token-sent`, `locked`, `bounced` or `ended`
        #[arg(long)]
        status: Option<String>,
    },
    /// Send an invitation again, under another link; the one before ends
    #[command(after_help = "\
Example:
  portcullis invite resend kim@acme.example")]
    Resend {
        /// The invitation's id, or the address it is for
        which: String,
    },
    /// Give an open invitation as much time as a new one has; its link stays
    #[command(after_help = "\
Example:
  portcullis invite extend kim@acme.example")]
    Extend {
        /// The invitation's id, or the address it is for
        which: String,
    },
    /// Change what an invitation promises, all of it: what is not named is taken; its link stays
    #[command(after_help = "\
Example:
  portcullis invite change kim@acme.example --app eln --permission eln:dq")]
    Change {
        /// The invitation's id, or the address it is for
        which: String,
        #[command(flatten)]
        gifts: GiftOptions,
    },
    /// Withdraw an invitation: its link and its token end
    #[command(after_help = "\
Example:
  portcullis invite withdraw kim@acme.example")]
    Withdraw {
        /// The invitation's id, or the address it is for
        which: String,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct InviteCreate {
    /// The address
    #[arg(long)]
    pub(in crate::cli) email: String,
    /// The team; `main` if not given
    #[arg(long)]
    pub(in crate::cli) team: Option<String>,
    /// A team role; several are given one by one
    #[arg(long)]
    pub(in crate::cli) role: Vec<String>,
    /// An application; several are given one by one
    #[arg(long)]
    pub(in crate::cli) app: Vec<String>,
    /// A permission, with its application
    #[arg(long, value_name = "APP:PERMISSION")]
    pub(in crate::cli) permission: Vec<String>,
    /// A project of the team with the level in it
    #[arg(long, value_name = "NAME=LEVEL")]
    pub(in crate::cli) project: Vec<String>,
    /// The addresses the person may come from
    #[arg(long)]
    pub(in crate::cli) ip_pattern: Option<String>,
    /// The identity provider the person signs in through
    #[arg(long)]
    pub(in crate::cli) idp: Option<String>,
}
