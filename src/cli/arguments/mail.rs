//! The arguments of `portcullis mail`.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum MailCommand {
    /// List letters, the newest first
    #[command(after_help = "\
Example:
  portcullis mail list --status failed")]
    List {
        /// `waiting` or `failed`
        #[arg(long)]
        status: Option<String>,
    },
    /// Have a letter that waits or failed tried now
    #[command(after_help = "\
Example:
  portcullis mail again m-01ARZ3NDEKTSV4RRFFQ69G5FAV")]
    Again {
        /// Its id
        id: String,
    },
    /// Have a letter that waits not tried any more; what it says is wiped
    #[command(
        name = "give-up",
        after_help = "\
Example:
  portcullis mail give-up m-01ARZ3NDEKTSV4RRFFQ69G5FAV"
    )]
    GiveUp {
        /// Its id
        id: String,
    },
    /// Have a letter sent to somebody that only shows that mail arrives
    #[command(after_help = "\
Example:
  portcullis mail test ada@example.org")]
    Test {
        /// Id, e-mail or username
        who: String,
    },
}
