//! The `portcullis` command: hands its arguments to [`portcullis::cli`] and exits with the answer.

/// What ten thousand connections leave behind when they go back to rest, it gives back to the system, where the system's own keeps some of
/// it; and it takes fewer instructions. It serves the C of the cryptography too. Figures: `bench/README.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    portcullis::cli::run()
}
