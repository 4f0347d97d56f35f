//! Random tokens and ids, from a cryptographic generator seeded by the operating system.

use rand::{Rng, RngCore, seq::IndexedRandom};

/// `bytes` random bytes as lower-case hex.
pub fn random_token(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    rand::rng().fill_bytes(&mut buffer);
    hex::encode(buffer)
}

/// `length` characters, each drawn evenly from `alphabet`; empty where the alphabet is.
pub fn random_id(alphabet: &str, length: usize) -> String {
    let letters: Vec<char> = alphabet.chars().collect();
    let mut source = rand::rng();
    (0..length).filter_map(|_| pick(&letters, &mut source)).collect()
}

fn pick(letters: &[char], source: &mut impl Rng) -> Option<char> {
    letters.choose(source).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tokens_have_their_length_and_differ(bytes in 16usize..64) {
            let token = random_token(bytes);
            prop_assert_eq!(hex::decode(&token).unwrap().len(), bytes);
            prop_assert_ne!(token, random_token(bytes));
        }

        #[test]
        fn ids_stay_in_their_alphabet(alphabet in "[a-zà-ü0-9]{1,20}", length in 0usize..40) {
            let id = random_id(&alphabet, length);
            prop_assert_eq!(id.chars().count(), length);
            prop_assert!(id.chars().all(|letter| alphabet.contains(letter)));
        }
    }

    #[test]
    fn an_empty_alphabet_gives_an_empty_id() {
        assert_eq!(random_id("", 6), "");
    }
}
