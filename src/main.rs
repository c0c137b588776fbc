//! The `portcullis` command: hands its arguments to [`portcullis::cli`] and exits with the answer.

fn main() -> std::process::ExitCode {
    portcullis::cli::run()
}
