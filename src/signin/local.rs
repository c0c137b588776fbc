//! Local passwords: hashed and checked on threads of their own, so that a storm of sign-ins cannot slow the gateway.
//!
//! argon2id with 19 MiB, two passes, one lane (OWASP Password Storage Cheat Sheet). Each thread keeps one block of memory and uses it
//! again; in front of the threads stands a short queue, and who meets a full one is told to come again.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash as Phc, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use unicode_normalization::UnicodeNormalization;

use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::model::password::{Password, PasswordHash, WeakPassword};

/// Sign-ins that may wait for a thread; who comes after them is answered 503 with Retry-After.
pub const QUEUE: usize = 64;

/// The most memory a stored hash may ask for, in KiB: hashes may come from elsewhere, and one must not be able to ask for everything.
const MOST_MEMORY_KIB: u32 = 256 * 1024;
/// The most passes a stored hash may ask for.
const MOST_PASSES: u32 = 16;

/// No thread is free and the queue is full, or the threads are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked at once; try again in a moment")]
pub struct Busy;

/// Whether `password` may be somebody's new password; `known` are words that are easy to find out, such as the person's names.
///
/// Takes milliseconds for long texts, so it belongs on the threads of [`Passwords`] (see [`Passwords::make`]) or in a command.
///
/// # Errors
/// [`WeakPassword`] names the first rule it breaks.
pub fn fitness(password: &Password, at_least: u32, known: &[&str]) -> Result<(), WeakPassword> {
    password.check_length(at_least)?;
    // NIST SP 800-63B section 3.1.1.2 asks for a block list and for no rules of composition. Fewer than a million guesses is what a
    // list, a name with a year or a row of keys amounts to.
    if zxcvbn::zxcvbn(password.expose(), known).guesses() < 1_000_000 {
        return Err(WeakPassword::Common);
    }
    Ok(())
}

/// Hashes a password on the calling thread, with fresh memory: for commands, which have no others to disturb.
///
/// # Errors
/// [`Busy`] if the memory cannot be had.
pub fn hash_here(password: &Password, random: &Random) -> Result<PasswordHash, Busy> {
    Memory::default().make(password, random.bytes()).ok_or(Busy)
}

/// A password to be made into a hash.
#[derive(Debug)]
pub struct NewPassword {
    /// As typed.
    pub text: Password,
    /// The least number of characters, `signin.password_min`.
    pub at_least: u32,
    /// Words that are easy to find out about the person.
    pub known: Vec<String>,
}

enum Work {
    Make {
        seat: Seat,
        password: NewPassword,
        salt: [u8; 16],
        answer: oneshot::Sender<Result<PasswordHash, WeakPassword>>,
    },
    Check {
        seat: Seat,
        password: Password,
        against: Option<PasswordHash>,
        answer: oneshot::Sender<bool>,
    },
}

/// A place in the queue. Taken before anything else is done for a password, so that who finds none costs nothing.
#[derive(Debug)]
pub struct Seat {
    _held: OwnedSemaphorePermit,
}

/// The threads that hash, and the queue before them. Dropping it lets them finish what waits and end.
#[derive(Debug)]
pub struct Passwords {
    queue: SyncSender<Work>,
    seats: Arc<Semaphore>,
    random: Random,
}

impl Passwords {
    /// Starts that many threads (at least one) with a queue of `room` places.
    ///
    /// # Errors
    /// If the operating system gives no thread.
    pub fn start(threads: usize, room: usize, random: Random) -> std::io::Result<Self> {
        let room = room.max(1);
        let (queue, waiting) = sync_channel(room);
        let waiting = Arc::new(Mutex::new(waiting));
        let nobody = nobody(&random);
        for number in 0..threads.max(1) {
            let waiting = Arc::clone(&waiting);
            let nobody = nobody.clone();
            thread::Builder::new().name(format!("passwords-{number}")).spawn(move || {
                give_way();
                serve(&waiting, &nobody);
            })?;
        }
        Ok(Self {
            queue,
            seats: Arc::new(Semaphore::new(room)),
            random,
        })
    }

    /// As many threads as half the processors, the queue as shipped.
    ///
    /// # Errors
    /// If the operating system gives no thread.
    pub fn start_for_this_machine(random: Random) -> std::io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self::start(processors / 2, QUEUE, random)
    }

    /// A place in the queue.
    ///
    /// # Errors
    /// [`Busy`] if the queue is full.
    pub fn seat(&self) -> Result<Seat, Busy> {
        Arc::clone(&self.seats)
            .try_acquire_owned()
            .map(|held| Seat { _held: held })
            .map_err(|_| Busy)
    }

    /// The hash of a new password, or why it cannot be one.
    ///
    /// # Errors
    /// [`Busy`] if the threads are gone or have no memory.
    pub async fn make(&self, seat: Seat, password: NewPassword) -> Result<Result<PasswordHash, WeakPassword>, Busy> {
        let (answer, answered) = oneshot::channel();
        self.enqueue(Work::Make {
            seat,
            password,
            salt: self.random.bytes(),
            answer,
        })?;
        answered.await.map_err(|_| Busy)
    }

    /// Whether `password` is the one behind `against`. With nothing to compare with, the same work is done and the answer is no, so that
    /// the time tells nobody who has an account.
    ///
    /// # Errors
    /// [`Busy`] if the threads are gone.
    pub async fn check(&self, seat: Seat, password: Password, against: Option<PasswordHash>) -> Result<bool, Busy> {
        let (answer, answered) = oneshot::channel();
        self.enqueue(Work::Check {
            seat,
            password,
            against,
            answer,
        })?;
        answered.await.map_err(|_| Busy)
    }

    fn enqueue(&self, work: Work) -> Result<(), Busy> {
        // There are as many seats as places, so only the end of the threads is met here.
        self.queue.try_send(work).map_err(|_| Busy)
    }
}

/// How much the hashing threads give way to those that forward requests (nice 0).
const NICENESS: i32 = 10;

/// Lowers the priority of the calling thread. On Linux "process" 0 of setpriority(2) is the calling thread; where that is refused, the
/// thread is only as eager as the others. Elsewhere it would be the whole process, so nothing is done.
fn give_way() {
    if cfg!(target_os = "linux") {
        let _ = rustix::process::setpriority_process(None, NICENESS);
    }
}

/// What a thread does all day.
fn serve(waiting: &Mutex<Receiver<Work>>, nobody: &PasswordHash) {
    let mut memory = Memory::default();
    loop {
        // Only one thread waits inside `recv`, the others for the lock; nothing else is ever done while it is held.
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            // Who asked may have gone; then the work is not worth doing.
            Ok(Work::Make { answer, .. }) if answer.is_closed() => {}
            Ok(Work::Check { answer, .. }) if answer.is_closed() => {}
            Ok(Work::Make {
                seat,
                password,
                salt,
                answer,
            }) => {
                drop(seat);
                let known: Vec<&str> = password.known.iter().map(String::as_str).collect();
                match fitness(&password.text, password.at_least, &known) {
                    Err(weak) => {
                        let _ = answer.send(Err(weak));
                    }
                    // Without a hash the answer is dropped, which the asker reads as Busy.
                    Ok(()) => {
                        if let Some(hash) = memory.make(&password.text, salt) {
                            let _ = answer.send(Ok(hash));
                        }
                    }
                }
            }
            Ok(Work::Check {
                seat,
                password,
                against,
                answer,
            }) => {
                drop(seat);
                let known = against.is_some();
                // A stored hash that cannot be read is treated like none, at the same cost.
                let matches = against
                    .and_then(|hash| memory.matches(&password, &hash))
                    .or_else(|| memory.matches(&password, nobody).map(|_| false));
                let _ = answer.send(known && matches == Some(true));
            }
            Err(_) => return,
        }
    }
}

/// A hash that no password belongs to: random where the digest should be.
fn nobody(random: &Random) -> PasswordHash {
    written(&random.bytes::<16>(), &random.bytes::<32>()).unwrap_or_else(|| PasswordHash::from_phc(String::new()))
}

fn written(salt: &[u8], digest: &[u8]) -> Option<PasswordHash> {
    let whole = Phc {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&Params::DEFAULT).ok()?,
        salt: Some(Salt::new(salt).ok()?),
        hash: Some(Output::new(digest).ok()?),
    };
    Some(PasswordHash::from_phc(whole.to_string()))
}

/// The block of memory a thread hashes in, kept from one password to the next.
#[derive(Default)]
struct Memory {
    blocks: Vec<Block>,
}

impl Memory {
    /// The hash to store, in PHC string format.
    fn make(&mut self, password: &Password, salt: [u8; 16]) -> Option<PasswordHash> {
        let mut digest = [0; Params::DEFAULT_OUTPUT_LEN];
        let params = Params::DEFAULT;
        self.fill(Algorithm::Argon2id, Version::V0x13, params, password, &salt, &mut digest)?;
        written(&salt, &digest)
    }

    /// Whether the password belongs to the stored hash; `None` if that is no argon2 hash we would spend memory on.
    fn matches(&mut self, password: &Password, stored: &PasswordHash) -> Option<bool> {
        let stored = Phc::new(stored.as_phc()).ok()?;
        let algorithm = Algorithm::try_from(stored.algorithm.as_str()).ok()?;
        let version = stored
            .version
            .map_or(Some(Version::V0x13), |version| Version::try_from(version).ok())?;
        let params = Params::try_from(&stored).ok()?;
        if params.m_cost() > MOST_MEMORY_KIB || params.t_cost() > MOST_PASSES {
            return None;
        }
        let (salt, expected) = (stored.salt?, stored.hash?);
        let mut digest = vec![0; expected.len()];
        self.fill(algorithm, version, params, password, salt.as_ref(), &mut digest)?;
        Some(bool::from(digest.ct_eq(expected.as_bytes())))
    }

    fn fill(
        &mut self,
        algorithm: Algorithm,
        version: Version,
        params: Params,
        password: &Password,
        salt: &[u8],
        out: &mut [u8],
    ) -> Option<()> {
        let needed = params.block_count();
        if self.blocks.len() < needed {
            self.blocks.try_reserve_exact(needed - self.blocks.len()).ok()?;
            self.blocks.resize(needed, Block::new());
        }
        let blocks = self.blocks.get_mut(..needed)?;
        // The same characters may be typed in several byte forms; NFC makes them one (RFC 8265 section 4.2).
        let typed = Secret::new(password.expose().nfc().collect::<String>());
        Argon2::new(algorithm, version, params)
            .hash_password_into_with_memory(typed.expose().as_bytes(), salt, out, blocks)
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn new_password(text: &str) -> NewPassword {
        NewPassword {
            text: secret(text),
            at_least: 12,
            known: Vec::new(),
        }
    }

    fn secret(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    async fn check(passwords: &Passwords, password: Password, against: Option<PasswordHash>) -> Result<bool, Busy> {
        passwords.check(passwords.seat()?, password, against).await
    }

    async fn make(passwords: &Passwords, password: NewPassword) -> Result<Result<PasswordHash, WeakPassword>, Busy> {
        passwords.make(passwords.seat()?, password).await
    }

    fn phc(text: &str) -> Option<PasswordHash> {
        Some(PasswordHash::from_phc(text.to_owned()))
    }

    #[tokio::test]
    async fn only_the_password_itself_matches_its_hash() {
        let passwords = Passwords::start(1, 4, Random::seeded(1)).unwrap();
        let hash = make(&passwords, new_password("correct horse battery")).await.unwrap().unwrap();
        assert!(hash.as_phc().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_phc());
        for (name, typed, against, expected) in [
            ("the same", "correct horse battery", Some(hash.clone()), true),
            ("another", "correct horse batterz", Some(hash.clone()), false),
            ("longer", "correct horse battery ", Some(hash.clone()), false),
            ("nobody's", "correct horse battery", None, false),
            ("a broken hash", "correct horse battery", phc("$argon2id$"), false),
            (
                "a greedy hash",
                "correct horse battery",
                phc(&hash.as_phc().replace("m=19456", "m=4000000")),
                false,
            ),
        ] {
            assert_eq!(check(&passwords, secret(typed), against).await, Ok(expected), "{name}");
        }
    }

    #[tokio::test]
    async fn one_text_in_two_byte_forms_is_one_password() {
        let passwords = Passwords::start(1, 4, Random::seeded(1)).unwrap();
        let hash = make(&passwords, new_password("caf\u{e9} au lait, dimanche"))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            check(&passwords, secret("cafe\u{301} au lait, dimanche"), Some(hash)).await,
            Ok(true)
        );
    }

    #[test]
    fn a_hash_made_by_others_is_understood() {
        // RFC 9106 is silent on strings; this one is of the reference command: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1
        let reference = phc("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc").unwrap();
        assert_eq!(Memory::default().matches(&secret("password"), &reference), Some(true));
        assert_eq!(Memory::default().matches(&secret("passworD"), &reference), Some(false));
    }

    #[test]
    fn poor_passwords_are_named_and_good_ones_pass() {
        let short = Err(WeakPassword::Short(12));
        for (name, text, expected) in [
            ("eleven", "x7Kw!q92mZp", short),
            ("twelve", "x7Kw!q92mZp4", Ok(())),
            ("twelve of another script", "пароль-слово", Ok(())),
            ("a list's first", "password1234", Err(WeakPassword::Common)),
            ("one key", "aaaaaaaaaaaaaaaa", Err(WeakPassword::Common)),
            ("a row of keys", "qwertyuiop[]", Err(WeakPassword::Common)),
            ("the person's own name", "lovelace2026", Err(WeakPassword::Common)),
            ("words", "correct horse battery staple", Ok(())),
            ("256", &"x7Kw!q92mZp4%tR1".repeat(16), Ok(())),
            ("257", &format!("{}a", "x7Kw!q92mZp4%tR1".repeat(16)), Err(WeakPassword::Long)),
        ] {
            assert_eq!(fitness(&secret(text), 12, &["ada", "lovelace"]), expected, "{name}");
        }
    }

    #[test]
    fn the_hashing_threads_give_way_and_no_other() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        let theirs = thread::spawn(move || {
            give_way();
            priority()
        });
        assert_eq!(theirs.join().unwrap(), NICENESS.max(before));
        assert_eq!(priority(), before);
    }

    #[tokio::test]
    async fn a_flood_is_refused_and_the_queue_never_grows_past_its_bound() {
        let passwords = Arc::new(Passwords::start(1, 4, Random::seeded(1)).unwrap());
        let mut asked = Vec::new();
        for _ in 0..40 {
            let passwords = Arc::clone(&passwords);
            asked.push(tokio::spawn(async move { check(&passwords, secret("whatever it is"), None).await }));
        }
        let mut refused = 0;
        for answer in asked {
            refused += usize::from(answer.await.unwrap() == Err(Busy));
        }
        assert!(refused >= 34, "4 waited and 1 or 2 were being served; {refused} of 40 were refused");
        assert_eq!(check(&passwords, secret("after the storm"), None).await, Ok(false));
    }

    #[tokio::test]
    async fn who_went_away_costs_nothing() {
        let passwords = Arc::new(Passwords::start(1, 32, Random::seeded(1)).unwrap());
        check(&passwords, secret("warm"), None).await.unwrap();
        let began = Instant::now();
        check(&passwords, secret("one"), None).await.unwrap();
        let one = began.elapsed();
        for _ in 0..30 {
            let waiting = check(&passwords, secret("gone"), None);
            // Polled once so that it is queued, then dropped.
            assert!(tokio::time::timeout(Duration::ZERO, waiting).await.is_err());
        }
        let began = Instant::now();
        check(&passwords, secret("still here"), None).await.unwrap();
        assert!(began.elapsed() < one * 15, "30 that had gone were hashed all the same");
    }
}
