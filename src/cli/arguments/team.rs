//! The arguments of `portcullis team`.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TeamCommand {
    /// List teams, with the roles, applications and providers that may be given in each
    #[command(after_help = "\
Example:
  portcullis team list --json")]
    List,
    /// Change what somebody has in a team, all of it: what is not named is taken
    #[command(after_help = "\
It counts from the next request. Who is not in the team is invited, see `portcullis invite create`.

Example:
  portcullis team set kim@acme.example --team acme --role team-data-admin --permission eln:dq --project Kinase=member")]
    Set {
        /// Id, e-mail or username
        who: String,
        /// The team
        #[arg(long)]
        team: String,
        #[command(flatten)]
        gifts: GiftOptions,
    },
    /// Take somebody out of a team; the account stays
    #[command(after_help = "\
Example:
  portcullis team remove kim@acme.example --team acme")]
    Remove {
        /// Id, e-mail or username
        who: String,
        /// The team
        #[arg(long)]
        team: String,
    },
    /// See and keep projects
    #[command(subcommand)]
    Project(ProjectCommand),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ProjectCommand {
    /// List projects
    #[command(after_help = "\
Example:
  portcullis team project list --team acme")]
    List {
        /// Of this team only
        #[arg(long)]
        team: Option<String>,
    },
    /// Make a project
    #[command(after_help = "\
Example:
  portcullis team project add --team acme Kinase")]
    Add {
        /// The team
        #[arg(long)]
        team: String,
        /// What it is called
        name: String,
    },
    /// Give a project another name
    #[command(after_help = "\
Example:
  portcullis team project rename p-01ARZ3NDEKTSV4RRFFQ69G5FAV Solubility")]
    Rename {
        /// Its id
        id: String,
        /// What it is called then
        name: String,
    },
    /// Remove a project; levels in it give nothing any more
    #[command(after_help = "\
Example:
  portcullis team project delete p-01ARZ3NDEKTSV4RRFFQ69G5FAV")]
    Delete {
        /// Its id
        id: String,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct GiftOptions {
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
