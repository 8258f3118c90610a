//! Prints types and expressions as a person would write them, for descriptors and sentences.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;

/// The tokens in one line.
pub(crate) fn tokens(tokens: &impl ToTokens) -> String {
    let mut line = Line::default();
    line.stream(tokens.to_token_stream());
    line.text
}

/// What was printed last, as far as the next space depends on it.
#[derive(Default, Clone, Copy, PartialEq)]
enum Last {
    /// Something that sticks to what follows.
    #[default]
    Tight,
    /// A name, number or closing bracket: a name after it needs a space.
    Word,
    /// An operator or comma with a space after it.
    Spaced,
}

#[derive(Default)]
struct Line {
    text: String,
    last: Last,
}

impl Line {
    fn stream(&mut self, stream: TokenStream) {
        let mut trees = stream.into_iter().peekable();
        while let Some(tree) = trees.next() {
            match tree {
                TokenTree::Group(group) => self.group(group.delimiter(), group.stream()),
                TokenTree::Ident(ident) => self.word(&ident.to_string()),
                TokenTree::Literal(literal) => self.word(&literal.to_string()),
                TokenTree::Punct(punct) => {
                    let mut operator = String::from(punct.as_char());
                    // Two or three characters in a row are one operator, except that `>`s close
                    // one list each and look the same either way.
                    while let Some(TokenTree::Punct(next)) = trees.peek() {
                        let longer = format!("{operator}{}", next.as_char());
                        if !OPERATORS.contains(&longer.as_str()) {
                            break;
                        }
                        operator = longer;
                        trees.next();
                    }
                    self.operator(&operator);
                }
            }
        }
    }

    fn group(&mut self, delimiter: Delimiter, inner: TokenStream) {
        let (open, close) = match delimiter {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::Brace => ("{ ", " }"),
            Delimiter::None => return self.stream(inner),
        };
        if self.last == Last::Spaced || (delimiter == Delimiter::Brace && self.last == Last::Word) {
            self.text.push(' ');
        }
        self.text.push_str(open);
        self.last = Last::Tight;
        self.stream(inner);
        self.text.push_str(close);
        self.last = Last::Word;
    }

    fn word(&mut self, word: &str) {
        if self.last != Last::Tight {
            self.text.push(' ');
        }
        self.text.push_str(word);
        self.last = Last::Word;
    }

    fn operator(&mut self, operator: &str) {
        match operator {
            "," | ";" | ":" => {
                self.text.push_str(operator);
                self.last = Last::Spaced;
            }
            "=" | "+" | "->" | "=>" | "==" | "!=" | "<=" | ">=" | "&&" | "||" | "/" => {
                self.text.push(' ');
                self.text.push_str(operator);
                self.last = Last::Spaced;
            }
            "::" | "<" | "." | ".." | "..=" | "!" => {
                if self.last == Last::Spaced {
                    self.text.push(' ');
                }
                self.text.push_str(operator);
                self.last = Last::Tight;
            }
            ">" => {
                self.text.push('>');
                self.last = Last::Word;
            }
            // `&`, `*`, `-`, `'`, `#`, `|`, `?`: in front of a name far more often than between two.
            _ => {
                if self.last == Last::Spaced {
                    self.text.push(' ');
                }
                self.text.push_str(operator);
                self.last = Last::Tight;
            }
        }
    }
}

/// Operators of more than one character.
const OPERATORS: &[&str] = &["::", "->", "=>", "==", "!=", "<=", ">=", "&&", "||", "..", "..="];

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    #[test]
    fn types_look_as_written() {
        for ty in [
            "PathBuf",
            "io::Result<Blob>",
            "Vec<Vec<u8>>",
            "&str",
            "&'static str",
            "[u8; 4]",
            "(u8, Option<String>)",
            "HashMap<String, Vec<u8>>",
            "()",
            "fn(u8) -> bool",
            "Box<dyn Error + Send>",
            "<A as B>::C",
        ] {
            let parsed: syn::Type = syn::parse_str(ty).unwrap();
            assert_eq!(tokens(&parsed), ty);
        }
    }

    #[test]
    fn policies_look_as_written() {
        assert_eq!(tokens(&quote!(Self::is_admin)), "Self::is_admin");
        assert_eq!(tokens(&quote!(AnyOf((AllowParents, AllowUid(0))))), "AnyOf((AllowParents, AllowUid(0)))");
    }
}
