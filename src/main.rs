//! The `portcullis` command: hands its arguments to [`portcullis::cli`] and exits with the answer.

/// What ten thousand connections leave behind when they go back to rest, it gives back to the system; the system's own keeps it, and costs
/// more instructions a request (`bench/README.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    portcullis::cli::run()
}
